"""NSGA-II: evolution for several objectives."""
