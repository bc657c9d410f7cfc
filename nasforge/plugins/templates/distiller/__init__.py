"""A distiller for nasforge."""
