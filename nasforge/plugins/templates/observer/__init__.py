"""An observer for nasforge."""
