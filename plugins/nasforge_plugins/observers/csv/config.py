"""Options of the CSV observer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from nasforge.config import PluginConfig

__all__ = ["CsvConfig"]


class CsvConfig(PluginConfig):
    """Place of the files."""

    path: Annotated[Path, AfterValidator(Path.expanduser)] = Path("csv")
    """The folder of the files; a relative path starts in the folder of the run or bench."""
