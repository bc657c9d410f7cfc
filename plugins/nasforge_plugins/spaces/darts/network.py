"""Cells stacked into networks, at the three scales of CDARTS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn import FeatureInfo, Network, OptionWeights, Output
from nasforge.space import Scale, Task
from nasforge_plugins.ops.stacking import is_launch_bound
from nasforge_plugins.spaces.darts.cell import CellPlan, DartsCell
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.names import EDGES, NODES
from nasforge_plugins.spaces.darts.network_cells import SingleCells
from nasforge_plugins.spaces.darts.operation_sets import edge_operations
from nasforge_plugins.spaces.darts.stacked_cells import StackedCells
from nasforge_plugins.spaces.darts.supernet_cells import MixedCells, can_mix

EXACT = frozenset({torch.float32, torch.float64})
"""Types of images that the fast ways compute."""
__all__ = ["CifarStem", "DartsNetwork", "ImageNetStem", "Layout", "plan"]


class CifarStem(nn.Module):
    """A 3x3 convolution and a batch norm, which feed both inputs of the first cell.

    Args:
        channels_in: Channels of the images.
        channels: Channels of the output.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two inputs of the first cell, here the same ``(B, channels, S, S)``."""
        y = self.norm(self.conv(x))
        return y, y


class ImageNetStem(nn.Module):
    """Three convolutions of stride 2: the second one gives the first input of the first cell.

    Args:
        channels_in: Channels of the images.
        channels: Channels of both outputs.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.quarter = nn.Sequential(
            nn.Conv2d(channels_in, half, 3, 2, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, channels, 3, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.eighth = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps of a quarter and of an eighth of the images' side."""
        quarter = self.quarter(x)
        return quarter, self.eighth(quarter)


class Layout(NamedTuple):
    """The cells of a network, and the maps that distillers and the auxiliary head use.

    Attributes:
        stem_channels: Channels behind the stem.
        cells: One plan per cell.
        taps: Index of the last cell of each stage; the first two are the reduction cells.
        features: Channels and stride behind these cells.
        sides: Side of the maps behind these cells, in pixels.
    """

    stem_channels: int
    cells: tuple[CellPlan, ...]
    taps: tuple[int, ...]
    features: tuple[FeatureInfo, ...]
    sides: tuple[int, ...]


def plan(config: DartsConfig, task: Task, scale: Scale) -> Layout:
    """Lay out the network of a scale: cells at one and two thirds of the depth halve the side.

    Args:
        config: The space's options.
        task: Input and output sizes.
        scale: Which network.
    """
    channels, count = {
        "search": (config.search_channels, config.search_cells),
        "eval": (config.eval_channels, config.eval_cells),
        "final": (config.channels, config.cells),
    }[scale]
    share = config.partial_channels if scale == "search" else 1
    imagenet = config.stem == "imagenet"
    stem_channels = channels if imagenet else config.stem_multiplier * channels
    before = previous = stem_channels
    stride, shrink = (8, True) if imagenet else (1, False)
    reductions = (count // 3, 2 * count // 3)
    taps = (*reductions, count - 1)
    cells, behind = [], []
    for index in range(count):
        reduces = index in reductions
        if reduces:
            channels, stride = 2 * channels, 2 * stride
        kind: Literal["normal", "reduce"] = "reduce" if reduces else "normal"
        cells.append(CellPlan(kind, before, previous, channels, shrink, share))
        before, previous, shrink = previous, NODES * channels, reduces
        behind.append(FeatureInfo(previous, stride))
    features = tuple(behind[tap] for tap in taps)
    sides = tuple(-(-task.image_size // feature.stride) for feature in features)
    return Layout(stem_channels, tuple(cells), taps, features, sides)


class DartsNetwork(Network):
    """A stem, cells, and a linear classifier on the average of the last map.

    Args:
        config: The options of the space.
        choices: Its choices.
        task: Input and output sizes.
        arch: The architecture; None makes the supernet.
        scale: Which of the three networks; only the final one has batch norms with scale and shift in its
            cells.
    """

    has_blocks = True

    def __init__(
        self, config: DartsConfig, choices: Sequence[Choice], task: Task, arch: Arch | None, scale: Scale
    ) -> None:
        super().__init__()
        layout = plan(config, task, scale)
        by_name = {choice.name: choice for choice in choices}
        stem = ImageNetStem if config.stem == "imagenet" else CifarStem
        self.stem = stem(task.in_channels, layout.stem_channels)
        norms = {"search": config.pool_batch_norm, "final": config.final_pool_batch_norm}
        pool_norm = norms.get(scale) or False
        self.cells = nn.ModuleList(
            [DartsCell(cell, by_name, arch, scale == "final", pool_norm) for cell in layout.cells]
        )
        self.classifier = nn.Linear(layout.features[-1].channels, task.num_classes)
        partial = scale == "search" and config.partial_channels > 1
        self.execution = "reference" if partial else config.execution
        self.operations = edge_operations(config.operations, config.allow_none is not False)
        self.mixes = arch is None and can_mix(self.operations)
        self.taps = layout.taps
        self.feature_info = layout.features

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images; see `Network.forward`."""
        run, enter = self._executor(x, weights)
        first, second = self.stem(x)
        before = enter(first)
        previous = before if second is first else enter(second)
        outputs: list[Tensor] = []
        for cell in self.cells:
            if outputs:
                before, previous = previous, enter(outputs[-1])
            outputs.append(self.run_block(cell, partial(run, cast("DartsCell", cell)), before, previous))
        logits = self.classifier(outputs[-1].mean((2, 3)))
        return Output(logits, tuple(outputs[tap] for tap in self.taps))

    def _executor(
        self, x: Tensor, weights: OptionWeights | None
    ) -> tuple[Callable[[DartsCell, Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Return a function that computes a cell, and one for its inputs, as two cells read each output."""
        reference = self.execution == "reference" or self.runs_plainly or x.dtype not in EXACT
        few = is_launch_bound(x)
        # Folded norms, on a CPU, need sums of squares in full precision.
        if reference or (not few and torch.is_autocast_enabled(x.device.type)):
            return lambda cell, before, previous: cell(before, previous, weights), lambda output: output
        if self.mixes and not any(isinstance(w, int) for w in (weights or {}).values()):
            mixed = StackedCells if few else MixedCells
            return mixed(self.operations[EDGES[0]], weights), F.relu
        return SingleCells(weights, apart=few), F.relu
