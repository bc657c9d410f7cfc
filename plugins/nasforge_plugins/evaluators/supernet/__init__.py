"""Scores architectures with the weights of a supernet."""
