"""Stages of a run: search, derive, train, test."""
