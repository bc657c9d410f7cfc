"""Metrics of a run or a bench as CSV files."""
