"""Inputs and outputs of networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.jit._trace import is_tracing

from nasforge.nn.recompute import recomputed

__all__ = ["FeatureInfo", "Network", "OptionWeights", "Output", "Picked", "is_exporting"]

OptionWeights = Mapping[str, Tensor | int]
"""Per choice name: one weight per option, shape ``(options,)``, or the index of the only option to run; an
index that is a `Picked` also has a weight."""


class Picked(int):
    """The index of the only option to run, with the weight that its output is multiplied by.

    Attributes:
        weight: A scalar, through which a searcher gets its gradient.
    """

    weight: Tensor

    def __new__(cls, index: int, weight: Tensor) -> Picked:
        """Make an index that carries a weight.

        Args:
            index: Of the option.
            weight: A scalar.
        """
        self = super().__new__(cls, index)
        self.weight = weight
        return self


class FeatureInfo(NamedTuple):
    """Shape of a stage's feature map.

    Attributes:
        channels: Its channels.
        stride: Image side divided by feature side.
    """

    channels: int
    stride: int


class Output(NamedTuple):
    """The output of a network.

    Attributes:
        logits: Shape ``(B, classes)``.
        features: One map per stage, shallow to deep, each ``(B, channels, side, side)``.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()


def is_exporting() -> bool:
    """Return whether the forward pass is being recorded by torch.export, ONNX export or jit.trace.

    Custom operators are unknown outside this process, so an exported program must not contain them.
    """
    if is_tracing():
        return True
    # torch before 2.7 reports an export as a compilation.
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return bool(exporting())


class Network(nn.Module):
    """A network or supernet of a space.

    Attributes:
        feature_info: Describes each entry of ``Output.features``.
        has_blocks: Whether `forward` runs its large parts with `run_block`. Set it in the class.
        any_size: Whether images may be larger or smaller than those of the task. Set it in the class.
        recompute: Keep only the inputs of these parts for the gradient, and compute them twice.
        plain: Compute every operation by its own module, out of torch's own functions, so that hooks,
            replaced modules and torch.compile see every operation. A faster way checks `runs_plainly`.
        compiles: Compile these parts with `torch.compile` when they first run, and parts that differ in
            nothing but their weights once.
    """

    feature_info: tuple[FeatureInfo, ...] = ()
    has_blocks: bool = False
    any_size: bool = True
    recompute: bool = False
    plain: bool = False
    compiles: bool = False

    @property
    def runs_plainly(self) -> bool:
        """Whether to compute with modules alone: because ``plain`` is set, or during an export."""
        return self.plain or is_exporting()

    def run_block(self, block: nn.Module, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Return ``run(*inputs)``; see ``recompute`` and ``compiles``.

        Args:
            block: The cell or block that is run.
            run: Computes it, usually the block itself.
            inputs: Feature maps. Option weights and what else takes part belongs into ``run``.
        """
        if is_exporting():
            return run(*inputs)
        if self.compiles:
            run = torch.compile(run, dynamic=False)
        return recomputed(block, run, *inputs) if self.recompute else run(*inputs)

    @abstractmethod
    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images.

        Args:
            x: Images, ``(B, C, S, S)``.
            weights: Option weights by choice name; a missing name means every option with weight 1.
        """
