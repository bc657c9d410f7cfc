"""Options of the space."""

from pydantic import PositiveInt

from nasforge.config import PluginConfig

__all__ = ["TemplateSpaceConfig"]


class TemplateSpaceConfig(PluginConfig):
    """Size of the networks."""

    channels: PositiveInt = 16
    """Channels of the stem; every stage doubles them."""

    stages: PositiveInt = 3
    """How often the network halves the image."""

    layers_per_stage: PositiveInt = 2
    """Layers between two halvings; each has a choice of its own."""
