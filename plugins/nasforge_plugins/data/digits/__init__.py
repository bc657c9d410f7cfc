"""Handwritten digits, bundled with scikit-learn."""
