"""Progress bars in a terminal, lines elsewhere."""
