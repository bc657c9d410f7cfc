"""A data for nasforge."""
