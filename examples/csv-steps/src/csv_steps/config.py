"""Options of the observer."""

from pathlib import Path

from nasforge.config import PluginConfig

__all__ = ["CsvStepsObserverConfig"]


class CsvStepsObserverConfig(PluginConfig):
    """Place and columns of the file."""

    path: Path = Path("steps.csv")
    """The file; a relative path starts in the folder of the run or bench."""

    notation: bool = True
    """Whether to write a column with the notation of the architecture."""
