"""Scores most candidates by a model that is fitted to the others."""
