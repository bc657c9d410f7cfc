"""Dirichlet architecture search."""
