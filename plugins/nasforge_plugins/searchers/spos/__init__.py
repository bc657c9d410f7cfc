"""The evolutionary search of single path one-shot."""
