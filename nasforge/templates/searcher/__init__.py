"""A searcher for nasforge."""
