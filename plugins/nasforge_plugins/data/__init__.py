"""Built-in data, one folder each."""
