"""Images in one NumPy archive."""
