"""Options of the TensorBoard observer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from nasforge.config import PluginConfig

__all__ = ["TensorBoardConfig"]


class TensorBoardConfig(PluginConfig):
    """Place of the event files."""

    path: Annotated[Path, AfterValidator(Path.expanduser)] = Path("tensorboard")
    """The folder of the event files; a relative path starts in the folder of the run or bench."""
