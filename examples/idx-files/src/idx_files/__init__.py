"""Images for nasforge: the IDX files of MNIST and its successors."""
