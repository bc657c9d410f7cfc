"""Describes the space to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace, PartialChannels, PlainNetworks, SeparateStages
from nasforge_plugins.spaces.darts_stages.config import DartsStagesConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the space of this folder."""
    return [
        Plugin(
            "space",
            "darts-stages",
            "nasforge_plugins.spaces.darts_stages.space:DartsStages",
            DartsStagesConfig,
            "Cells of DARTS, other ones in each of the three stages",
            provides=frozenset({NetworkSpace, PartialChannels, PlainNetworks, SeparateStages}),
            tiny={
                "channels": 4,
                "cells": 5,
                "search_channels": 4,
                "search_cells": 5,
                "eval_channels": 4,
                "eval_cells": 5,
                "stem_multiplier": 1,
            },
        )
    ]
