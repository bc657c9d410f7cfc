"""Hyperband: successive halving from every budget in turn."""
