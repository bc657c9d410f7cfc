"""Takes a given architecture: no search at all."""
