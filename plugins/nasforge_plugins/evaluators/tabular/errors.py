"""The one error of this plugin."""

from __future__ import annotations

from nasforge.errors import NasforgeError

__all__ = ["TableError"]


class TableError(NasforgeError):
    """A table is missing, unreadable, incomplete, or does not hold what was asked for."""
