"""Gradient-based search by a differentiable sampler."""
