"""Options of the distiller."""

from pydantic import NonNegativeFloat

from nasforge.config import PluginConfig

__all__ = ["TemplateDistillerConfig"]


class TemplateDistillerConfig(PluginConfig):
    """The compared outputs."""

    attention_weight: NonNegativeFloat = 1.0
    """Weight of the feature maps, next to the logits; 0 leaves them out."""
