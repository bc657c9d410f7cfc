"""Vision transformers whose depth, width, heads and hidden widths are slices of one supernet (AutoFormer)."""
