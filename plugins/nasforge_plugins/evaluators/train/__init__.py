"""Trains architectures from scratch."""
