"""Networks and supernets of the chain space."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn import (
    ChoiceBlock,
    FeatureInfo,
    Network,
    OptionWeights,
    Output,
    part_of,
    pick_options,
    weighted_sum,
)
from nasforge.space import Scale, Task
from nasforge_plugins.spaces.chain.blocks import MBConv, SeparableBlock
from nasforge_plugins.spaces.chain.choices import SKIP
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.elastic import ElasticMBConv
from nasforge_plugins.spaces.chain.mixture import MixedBlock
from nasforge_plugins.spaces.chain.stage_plan import Place, plan_stages, scale_width, stem_stride

__all__ = ["ChainNetwork", "make_operation"]


class ChainNetwork(Network):
    """Stem, fixed first block, five stages of blocks, head.

    Args:
        config: The options of the space.
        task: Input and output sizes.
        arch: The architecture; None builds every option of every block.
        scale: Decides the width and the dropout.

    Attributes:
        depths: The elastic choice of the number of blocks, by name of the stage.
        ends: Numbers of blocks behind which the stage may end, by name of the stage.
    """

    has_blocks = True

    def __init__(self, config: ChainConfig, task: Task, arch: Arch | None, scale: Scale) -> None:
        super().__init__()
        c, stride = config.stem_channels, stem_stride(config)
        self.stem = nn.Sequential(
            nn.Conv2d(task.in_channels, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c), nn.SiLU()
        )
        self.stage0 = SeparableBlock(c)
        self.stages, self.depths = nn.ModuleDict(), dict[str, Choice]()
        self.ends: dict[str, tuple[str, ...]] = {}
        info = {}
        shares = config.partial_channels if scale == "search" else 1
        # A network has one option per block: there is nothing to share.
        fast = config.execution == "fast" and arch is None
        for name, choices, places in plan_stages(config, scale):
            self.ends[name] = (str(len(places)),)
            if choices.depth is not None:
                self.depths[name] = choices.depth
                self.ends[name] = pick_options(choices.depth, arch)
            places = places[: int(self.ends[name][-1])]
            self.stages[name] = nn.ModuleDict(
                {f"block{i}": _block(place, arch, fast, shares) for i, place in enumerate(places)}
            )
            last = places[-1]
            c, info[name] = last.c_out, FeatureInfo(last.c_out, last.before * last.stride)
        self.taps = tuple(f"stage{number}" for number in config.feature_stages)
        self.feature_info = tuple(info[name] for name in self.taps)
        head = scale_width(config.head_channels, config, scale)
        self.head = nn.Sequential(nn.Conv2d(c, head, 1, bias=False), nn.BatchNorm2d(head), nn.SiLU())
        self.hidden = nn.Conv2d(head, config.classifier_channels, 1)
        self.dropout = nn.Dropout(config.dropout if scale == "final" else 0.0)
        self.classifier = nn.Linear(config.classifier_channels, task.num_classes)
        self.apply(_initialize)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images ``(B, C, S, S)``; see `Network`."""
        x = self.stage0(self.stem(x))
        features = {}
        for name in self.stages:
            maps = self._behind_blocks(name, x, weights)
            if name in self.depths:
                x = weighted_sum(self.depths[name], maps, weights)
            else:
                [(_, whole)] = maps
                x = whole()
            features[name] = x
        pooled = self.head(x).mean((2, 3), keepdim=True)
        hidden = F.silu(self.hidden(pooled)).flatten(1)
        return Output(self.classifier(self.dropout(hidden)), tuple(features[name] for name in self.taps))

    def _behind_blocks(
        self, name: str, x: Tensor, weights: OptionWeights | None
    ) -> Iterator[tuple[str, Callable[[], Tensor]]]:
        """Yield the maps behind blocks that may be the last of a stage; later blocks run when asked for."""
        stage = self.stages[name]
        assert isinstance(stage, nn.ModuleDict)
        for number, block in enumerate(stage.values(), start=1):
            how = {"plain": self.runs_plainly} if isinstance(block, MixedBlock) else {}
            x = self.run_block(block, partial(block, weights=weights, **how), x)
            if str(number) in self.ends[name]:
                yield str(number), partial(_same, x)


def make_operation(place: Place, option: str, share: int = 1) -> nn.Module:
    """Build the operation of an option that has weights of its own.

    Args:
        place: Where the block stands.
        option: ``"skip"``, or kernel and expansion such as ``"k3e6"``.
        share: The operation sees the first of so many groups of channels.
    """
    if option == SKIP:
        return nn.Identity()
    kernel, expansion = (int(number) for number in option[1:].split("e"))
    return MBConv(part_of(place.c_in, share), part_of(place.c_out, share), kernel, expansion, place.stride)


def _block(place: Place, arch: Arch | None, fast: bool, shares: int) -> nn.Module:
    # Channels cannot pass a block by that changes their number or halves the map.
    share = shares if place.stride == 1 and place.c_in == place.c_out else 1
    if len(place.choices) == 2:
        kernel, expansion = place.choices
        return ElasticMBConv(place.c_in, place.c_out, place.stride, kernel, expansion, arch, share)
    (choice,) = place.choices
    make = partial(make_operation, place, share=share)
    return (MixedBlock if fast else ChoiceBlock)(choice, make, arch, share=share)


def _initialize(module: nn.Module) -> None:
    """Start convolutions from the normal distribution that keeps gradients even (He et al., 2015)."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _same(x: Tensor) -> Tensor:
    return x
