"""The plugins that ship with nasforge: found through entry points, as anybody's are."""
