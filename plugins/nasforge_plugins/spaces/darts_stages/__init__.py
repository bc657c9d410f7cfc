"""Cells of the DARTS space, with cells of its own for each stage of the network."""
