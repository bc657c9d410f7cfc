"""Describes the space to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import CellTypes, NetworkSpace, PartialChannels, PlainNetworks, ReducedNetworks
from nasforge_plugins.spaces.darts.config import DartsConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the space of this folder."""
    return [
        Plugin(
            "space",
            "darts",
            "nasforge_plugins.spaces.darts.space:DartsSpace",
            DartsConfig,
            "Normal and reduction cells of DARTS, with the genotypes of the literature",
            provides=frozenset({CellTypes, NetworkSpace, PartialChannels, PlainNetworks, ReducedNetworks}),
            diagnosis="nasforge_plugins.kernels.door:diagnose",
            tiny={
                "channels": 4,
                "cells": 4,
                "search_channels": 4,
                "search_cells": 3,
                "eval_channels": 4,
                "eval_cells": 4,
                "stem_multiplier": 1,
                "operations": ["max_pool_3x3", "skip_connect", "sep_conv_3x3", "none"],
            },
        )
    ]
