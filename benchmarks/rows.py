"""The rows of the table: what is compared, how large, and what it should reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from benchmarks.steps import CdartsStep, DartsStep, Setting, TrainEpoch, Work
from nasforge.runtime import Runtime
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.space import ChainSpace
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201

__all__ = ["ROWS", "SCALING", "SIDES", "TINY", "Row", "Size"]

SIDES = ("reference", "nasforge")
NASBENCH201_CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
"""A cell as good searches of the benchmark find them: five 3x3 convolutions and a skip."""


@dataclass(frozen=True)
class Size:
    """How large the networks of a row are.

    Attributes:
        batch: Images per step.
        channels: Of the first cell.
        cells: Of the search network, or of the network that is trained; per stage in NAS-Bench-201.
        eval_cells: Of the evaluation network.
        image_size: Side of the images.
        steps: Batches of an epoch.
    """

    batch: int
    channels: int = 16
    cells: int = 8
    eval_cells: int = 20
    image_size: int = 32
    steps: int = 2


@dataclass(frozen=True)
class Row:
    """One comparison of nasforge with its reference.

    Attributes:
        name: What the command line calls it.
        title: What the table calls it.
        build: Makes the work of one side.
        size: How large.
        targets: What nasforge should need at most, as a share of the reference's; ``"nni"``: of nni's;
            ``"peak"``: at least this share of the matrix-product peak inside convolutions.
        peer: What the script of the peer calls it; empty: no peer.
    """

    name: str
    title: str
    build: Callable[[Setting, Size], Work]
    size: Size
    targets: Mapping[str, float] = field(default_factory=dict)
    peer: str = ""

    def make(self, side: str, device: str, size: Size) -> Work:
        """Build the work of a side."""
        reference = side == "reference"
        runtime = Runtime.create(device, channels_last=not reference)
        return self.build(Setting(runtime, reference, size.batch, size.image_size), size)


def _darts(setting: Setting, size: Size) -> DartsSpace:
    return DartsSpace(
        DartsConfig.model_validate(
            {
                "channels": size.channels,
                "cells": size.cells,
                "search_channels": size.channels,
                "search_cells": size.cells,
                "eval_channels": size.channels,
                "eval_cells": size.eval_cells,
                "execution": setting.execution,
            }
        )
    )


def _cdarts(setting: Setting, size: Size) -> Work:
    return CdartsStep(setting, _darts(setting, size), "CDARTS")


def _first_order(setting: Setting, size: Size) -> Work:
    return DartsStep(setting, _darts(setting, size))


def _nasbench201_space(setting: Setting, size: Size) -> NasBench201:
    sizes = {"search_channels": size.channels, "eval_channels": size.channels}
    sizes |= {"search_cells": size.cells, "eval_cells": size.eval_cells}
    return NasBench201(NasBench201Config.model_validate({**sizes, "execution": setting.execution}))


def _nasbench201(setting: Setting, size: Size) -> Work:
    return CdartsStep(setting, _nasbench201_space(setting, size), NASBENCH201_CELL)


def _nasbench201_darts(setting: Setting, size: Size) -> Work:
    return DartsStep(setting, _nasbench201_space(setting, size))


def _chain(setting: Setting, size: Size) -> Work:
    options = {"layout": "cifar", "depths": (size.cells,) * 5, "search_width": size.channels / 16}
    return DartsStep(
        setting, ChainSpace(ChainConfig.model_validate({**options, "execution": setting.execution}))
    )


def _training(setting: Setting, size: Size) -> Work:
    return TrainEpoch(setting, _darts(setting, size), "CDARTS", size.steps)


CDARTS_TARGETS = {"time": 1 / 5, "memory": 1 / 2, "operators": 1 / 3}
ROWS = (
    Row("cdarts-16", "CDARTS step, darts, C=16, 8/20 cells, batch 16", _cdarts, Size(16), CDARTS_TARGETS),
    Row("cdarts-64", "CDARTS step, darts, C=16, 8/20 cells, batch 64", _cdarts, Size(64), CDARTS_TARGETS),
    Row(
        "darts",
        "DARTS first-order step, darts, C=16, 8 cells, batch 16",
        _first_order,
        Size(16),
        {"time": 1 / 4, "nni": 1 / 2},
        peer="darts",
    ),
    Row(
        "nasbench201",
        "CDARTS step, nasbench201, C=16, N=5, batch 64",
        _nasbench201,
        Size(64, cells=5, eval_cells=5),
        {"time": 1 / 3, "peak": 1 / 2},
    ),
    Row(
        "nasbench201-darts",
        "DARTS first-order step, nasbench201, C=16, N=5, batch 64",
        _nasbench201_darts,
        Size(64, cells=5, eval_cells=5),
        peer="nasbench201",
    ),
    Row(
        "chain",
        "DARTS first-order step, chain, 32 px, all 7 options of 20 blocks, batch 32",
        _chain,
        Size(32, cells=4),
        {"time": 1 / 2},
    ),
    Row(
        "train",
        "training epoch of 2 steps, derived network, C=36, 20 cells, batch 64",
        _training,
        Size(64, channels=36, cells=20),
        {"time": 1 / 2},
    ),
)


SCALING = {
    "channels": tuple((c, replace(ROWS[0].size, channels=c)) for c in (8, 16, 32)),
    "cells": tuple((n, replace(ROWS[0].size, cells=n, eval_cells=n * 5 // 2)) for n in (4, 8, 16)),
}
"""The first row at other sizes: by the channels of the first cell, and by cells of the search network; the
evaluation network has two and a half times as many."""

TINY = {
    "cdarts-16": Size(2, channels=4, cells=3, eval_cells=3, image_size=8),
    "cdarts-64": Size(4, channels=4, cells=3, eval_cells=3, image_size=8),
    "darts": Size(2, channels=4, cells=3, image_size=8),
    "nasbench201": Size(2, channels=4, cells=1, eval_cells=1, image_size=8),
    "nasbench201-darts": Size(2, channels=4, cells=1, eval_cells=1, image_size=8),
    "chain": Size(2, channels=4, cells=1, image_size=16),
    "train": Size(20, channels=4, cells=6, steps=1),
}
"""Sizes at which every row runs in no time: to see that it runs."""
