"""Look architectures up in a table instead of training them."""
