"""Built-in distillers, one folder each."""
