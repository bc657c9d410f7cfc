"""Random search: the baseline of every other one."""
