"""Training: loops over batches, optimisers, and the evaluation network inside a search."""
