"""Reports on runs and benches: one HTML file each, made from the files of their folders alone."""
