"""Templates of `nasforge new plugin`: small plugins that work, one per kind."""
