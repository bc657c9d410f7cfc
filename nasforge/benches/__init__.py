"""Benches: several searchers and seeds under an equal budget, and the comparison of their results."""
