"""Options of the observer."""

from pathlib import Path

from pydantic import PositiveInt

from nasforge.config import PluginConfig

__all__ = ["TemplateObserverConfig"]


class TemplateObserverConfig(PluginConfig):
    """Place and content of the notes."""

    path: Path = Path("notes.txt")
    """The file; a relative path starts in the folder of the run or bench."""

    every: PositiveInt = 1
    """Write one line for so many steps, or so many runs of a bench."""
