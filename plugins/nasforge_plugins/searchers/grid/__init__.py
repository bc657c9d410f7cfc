"""Enumeration of a space in order."""
