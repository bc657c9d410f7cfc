"""Options of the JSON lines observer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from nasforge.config import PluginConfig

__all__ = ["JsonLinesConfig"]


class JsonLinesConfig(PluginConfig):
    """Place and content of the file."""

    path: Annotated[Path, AfterValidator(Path.expanduser)] = Path("events.jsonl")
    """The file; a relative path starts in the folder of the run or bench. Lines are appended."""

    progress: bool = True
    """Whether to write progress inside steps too."""
