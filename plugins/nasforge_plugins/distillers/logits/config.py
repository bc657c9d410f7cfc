"""Options of the logits distiller."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveFloat

from nasforge.config import PluginConfig

__all__ = ["LogitsConfig"]


class LogitsConfig(PluginConfig):
    """How softened predictions are matched."""

    temperature: PositiveFloat = 4.0
    """T: logits are divided by it before the softmax; the higher, the more the wrong classes tell."""

    weight: NonNegativeFloat = 1.0
    """Factor of the whole term, beside the cross-entropy of whoever trains."""

    detach_teacher: bool = True
    """Teach the student only; false lets two networks that learn together meet halfway."""
