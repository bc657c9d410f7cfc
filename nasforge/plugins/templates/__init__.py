"""What `nasforge new plugin` copies: small plugins that work, one per kind."""
