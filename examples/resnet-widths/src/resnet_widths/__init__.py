"""A space for nasforge: how wide every block of a residual network is."""
