"""Distillation at several depths: a head on every stage, and one loss over all of them."""
