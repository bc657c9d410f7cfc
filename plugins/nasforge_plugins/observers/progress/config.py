"""Options of the progress observer."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat

from nasforge.config import PluginConfig

__all__ = ["ProgressConfig"]


class ProgressConfig(PluginConfig):
    """Form of the progress display."""

    style: Literal["auto", "bars", "lines"] = "auto"
    """"bars" draws a bar per stage, "lines" prints a line per step. "auto" draws bars in a terminal, and
    prints lines into files and pipes."""

    pause: NonNegativeFloat = 30.0
    """Seconds between two lines about one long step; after twice as long without news, a line repeats the
    share that is done and the time left."""
