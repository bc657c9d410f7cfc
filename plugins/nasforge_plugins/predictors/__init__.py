"""Models that predict the scores of architectures, for searchers and evaluators that fit some."""
