"""Describe the space to nasforge."""

from __future__ import annotations

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import (
    KnownCost,
    NetworkSpace,
    PartialChannels,
    PlainNetworks,
    ReducedNetworks,
    TabularSpace,
)
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugins of this module."""
    return [
        Plugin(
            "space",
            "nasbench201",
            "nasforge_plugins.spaces.nasbench201.space:NasBench201",
            NasBench201Config,
            "The NAS-Bench-201 cell: six edges, five operations, 15,625 architectures with known accuracy",
            provides=frozenset(
                {KnownCost, NetworkSpace, PartialChannels, PlainNetworks, ReducedNetworks, TabularSpace}
            ),
            diagnosis="nasforge_plugins.kernels.door:diagnose",
            tiny={
                "channels": 4,
                "cells": 1,
                "search_channels": 4,
                "search_cells": 1,
                "eval_channels": 4,
                "eval_cells": 1,
            },
        )
    ]
