"""ImageNet, and other image folders that do not fit into memory."""
