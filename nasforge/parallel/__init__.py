"""Parallel work: worker processes, evaluation of candidates with them, and failures."""
