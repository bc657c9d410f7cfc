"""Options of the space."""

from typing import Annotated

from nasforge.config import PluginConfig
from pydantic import Field, PositiveInt

__all__ = ["ResnetWidthsSpaceConfig"]

Percent = Annotated[int, Field(ge=1, le=800)]


class ResnetWidthsSpaceConfig(PluginConfig):
    """The residual network that is widened and narrowed."""

    blocks: PositiveInt = 3
    """Blocks per stage; with three stages, 3 is ResNet-20 and 9 is ResNet-56."""

    channels: PositiveInt = 16
    """Channels of the first stage in the final network; the second has twice, the third four times that."""

    search_channels: PositiveInt = 16
    """The same for the networks of a search."""

    widths: tuple[Percent, ...] = Field((25, 50, 100, 200), min_length=1)
    """Inner widths to choose from, in percent of the channels of the stage; 100 is the published block."""

    removable: bool = True
    """Whether a block that changes neither size nor channels may be left out."""
