"""Parts that gradient searchers are made of; no plugin by itself."""
