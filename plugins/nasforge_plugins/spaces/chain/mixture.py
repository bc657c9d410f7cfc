"""The function of `ChoiceBlock` with the same parameters, and fewer passes over the feature maps.

The weight of an option is folded into the batch-norm that ends it, and the input is added once for all
options instead of once in each. The operator `nasforge_plugins.kernels.bottlenecks.narrow` computes
everything before that norm. Running the convolutions of all options as one, which helps in cells whose edges
share a source, made these blocks twice as slow in torch, because depthwise and narrowing convolutions need
the slices copied apart again.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.nn import ChoiceBlock, OptionWeights, bypass
from nasforge_plugins.kernels.bottlenecks import narrow
from nasforge_plugins.spaces.chain.blocks import MBConv

__all__ = ["MixedBlock"]


class MixedBlock(ChoiceBlock):
    """A `ChoiceBlock` over `MBConv` options and the identity."""

    def forward(self, x: Tensor, weights: OptionWeights | None = None, plain: bool = False) -> Tensor:
        """Return the weighted sum of the options; ``plain`` runs each with its own modules."""
        mix = partial(super().mix if plain else self.mix, weights=weights)
        return bypass(x, self.share, mix) if self.share > 1 else mix(x)

    def mix(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return the weighted sum of the options at the channels that they see."""
        scale = None if weights is None else weights.get(self.choice.name)
        if scale is None or isinstance(scale, int):
            return super().mix(x, weights)
        blocks = [option for option in self.options.values() if isinstance(option, MBConv)]
        narrowed = narrow(blocks, x)
        branches: Tensor | None = None
        straight = []
        for i, option in enumerate(self.options.values()):
            if not isinstance(option, MBConv):
                straight.append(scale[i])
                continue
            branch = _normed(option, next(narrowed), scale[i])
            if option.residual:
                straight.append(scale[i])
                branch = option.drop_path(branch)
            branches = branch if branches is None else branches + branch
        assert branches is not None, "every block has a convolutional option"
        return torch.addcmul(branches, x, torch.stack(straight).sum()) if straight else branches


def _normed(block: MBConv, y: Tensor, scale: Tensor) -> Tensor:
    """Return ``scale`` times the branch of an `MBConv`, given the input of its last norm."""
    norm = block.project_norm
    if norm.training:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
    return F.batch_norm(
        y,
        norm.running_mean,
        norm.running_var,
        norm.weight * scale,
        norm.bias * scale,
        norm.training,
        norm.momentum or 0.0,
        norm.eps,
    )
