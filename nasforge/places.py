"""Where things are kept that outlive a run."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["user_folder"]


def user_folder(kind: str) -> Path:
    """Return the folder for one kind of things: inside ``NASFORGE_DATA``, else inside the user's data folder.

    Args:
        kind: Such as ``"tables"``.
    """
    if named := os.environ.get("NASFORGE_DATA"):
        return Path(named) / kind
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "nasforge" / kind
