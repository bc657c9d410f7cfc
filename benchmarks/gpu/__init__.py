"""Check and measure nasforge on a GPU within a few minutes: ``python -m benchmarks.gpu --minutes 8``."""
