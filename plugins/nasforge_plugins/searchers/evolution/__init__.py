"""Regularized evolution."""
