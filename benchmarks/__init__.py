"""Speed of nasforge, measured side by side: ``python -m benchmarks``."""
