"""Metrics of a run or a bench for TensorBoard."""
