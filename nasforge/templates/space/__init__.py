"""A space for nasforge."""
