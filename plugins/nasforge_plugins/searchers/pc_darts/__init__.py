"""DARTS with partial channels and edge normalisation."""
