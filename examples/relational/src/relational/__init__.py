"""A distiller for nasforge: the student keeps the distances and angles between images."""
