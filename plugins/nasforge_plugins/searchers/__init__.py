"""Built-in searchers, one folder each."""
