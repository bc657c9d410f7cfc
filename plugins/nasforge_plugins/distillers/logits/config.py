"""Options of the logits distiller."""

from __future__ import annotations

from pydantic import PositiveFloat

from nasforge.config import PluginConfig

__all__ = ["LogitsConfig"]


class LogitsConfig(PluginConfig):
    """How softened predictions are matched."""

    temperature: PositiveFloat = 4.0
    """T: logits are divided by it before the softmax; the higher, the more the wrong classes tell."""

    detach_teacher: bool = True
    """Teach the student only; false lets two networks that learn together meet halfway."""
