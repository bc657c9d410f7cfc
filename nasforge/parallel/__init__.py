"""Evaluating candidates: what happens when one fails, and how several are evaluated at the same time."""
