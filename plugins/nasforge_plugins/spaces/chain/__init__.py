"""A chain of mobile inverted bottlenecks: every block picks its kernel and expansion."""
