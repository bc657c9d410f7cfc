"""Scores untrained networks by zero-cost proxies."""
