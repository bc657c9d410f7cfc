"""Built-in observers, one folder each."""
