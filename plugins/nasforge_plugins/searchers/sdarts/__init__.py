"""DARTS under disturbed option weights."""
