"""DARTS whose options do not compete."""
