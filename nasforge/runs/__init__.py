"""Runs: the folder of a run, the components of its recipe, and what each stage may read."""
