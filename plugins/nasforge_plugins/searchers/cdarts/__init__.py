"""Cyclic differentiable architecture search: a search and an evaluation network teach each other."""
