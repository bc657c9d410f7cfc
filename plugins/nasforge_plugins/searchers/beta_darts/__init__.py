"""DARTS with beta-decay."""
