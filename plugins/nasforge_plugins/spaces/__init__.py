"""Built-in spaces, one folder each."""
