"""Networks and supernets of the chain space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn import ChoiceBlock, FeatureInfo, Network, OptionWeights, Output, part_of
from nasforge.space import Scale, Task
from nasforge_plugins.spaces.chain.blocks import MBConv, SeparableBlock, round_channels
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.mixture import MixedBlock

__all__ = ["SKIP", "STRIDES", "ChainNetwork"]

SKIP = "skip"
"""The option that leaves a block out."""

STRIDES = {"imagenet": (2, (2, 2, 2, 1, 2)), "cifar": (1, (1, 2, 2, 1, 2))}
"""Per layout: stride of the stem, and of the first block of stages 1 to 5."""


class ChainNetwork(Network):
    """Stem, fixed first block, five stages of blocks, head.

    Args:
        config: The options of the space.
        choices: Its choices, block by block.
        task: Input and output sizes.
        arch: The architecture; None builds every option of every block.
        scale: Decides the width and the dropout.
    """

    has_blocks = True

    def __init__(
        self, config: ChainConfig, choices: Sequence[Choice], task: Task, arch: Arch | None, scale: Scale
    ) -> None:
        super().__init__()
        multiplier = {"search": config.search_width, "eval": config.eval_width, "final": 1.0}[scale]
        stem_stride, strides = STRIDES[config.layout]
        c = config.stem_channels
        self.stem = nn.Sequential(
            nn.Conv2d(task.in_channels, c, 3, stem_stride, 1, bias=False), nn.BatchNorm2d(c), nn.SiLU()
        )
        self.stage0 = SeparableBlock(c)
        self.stages = nn.ModuleDict()
        info, total = {}, stem_stride
        partial = config.partial_channels if scale == "search" else 1
        # A network has one option per block: there is nothing to share.
        fast = config.execution == "fast" and arch is None
        for number, (name, blocks) in enumerate(groupby(choices, key=_stage), start=1):
            width, stage = _scaled(config.widths[number - 1], multiplier), nn.ModuleDict()
            for i, choice in enumerate(blocks):
                stride = strides[number - 1] if i == 0 else 1
                share = partial if stride == 1 and c == width else 1
                stage[f"block{i}"] = _block(choice, c, width, stride, arch, fast, share)
                c, total = width, total * stride
            self.stages[name] = stage
            info[name] = FeatureInfo(c, total)
        self.taps = tuple(f"stage{number}" for number in config.feature_stages)
        self.feature_info = tuple(info[name] for name in self.taps)
        head = _scaled(config.head_channels, multiplier)
        self.head = nn.Sequential(nn.Conv2d(c, head, 1, bias=False), nn.BatchNorm2d(head), nn.SiLU())
        self.hidden = nn.Conv2d(head, config.classifier_channels, 1)
        self.dropout = nn.Dropout(config.dropout if scale == "final" else 0.0)
        self.classifier = nn.Linear(config.classifier_channels, task.num_classes)
        self.apply(_initialize)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images ``(B, C, S, S)``; see `Network`."""
        x = self.stage0(self.stem(x))
        features = {}
        for name, stage in self.stages.items():
            assert isinstance(stage, nn.ModuleDict)
            for block in stage.values():
                how = {"plain": self.runs_plainly} if isinstance(block, MixedBlock) else {}
                x = self.run_block(block, partial(block, weights=weights, **how), x)
            features[name] = x
        pooled = self.head(x).mean((2, 3), keepdim=True)
        hidden = F.silu(self.hidden(pooled)).flatten(1)
        return Output(self.classifier(self.dropout(hidden)), tuple(features[name] for name in self.taps))


def _block(
    choice: Choice, c_in: int, c_out: int, stride: int, arch: Arch | None, fast: bool, share: int
) -> ChoiceBlock:
    c_in, c_out = part_of(c_in, share), part_of(c_out, share)

    def make(option: str) -> nn.Module:
        if option == SKIP:
            return nn.Identity()
        kernel, expansion = (int(number) for number in option[1:].split("e"))
        return MBConv(c_in, c_out, kernel, expansion, stride)

    return (MixedBlock if fast else ChoiceBlock)(choice, make, arch, share=share)


def _stage(choice: Choice) -> str:
    return choice.name.partition("/")[0]


def _scaled(channels: int, multiplier: float) -> int:
    return channels if multiplier == 1.0 else round_channels(channels * multiplier)


def _initialize(module: nn.Module) -> None:
    """Start convolutions from the normal distribution that keeps gradients even (He et al., 2015)."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
