"""A searcher for nasforge: a policy that learns which options score high."""
