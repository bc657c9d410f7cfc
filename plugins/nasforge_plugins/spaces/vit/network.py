"""Networks and supernets of the ``vit`` space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn import Extent, FeatureInfo, Network, OptionWeights, Output, Width, pick_options, weighted_sum
from nasforge.space import Task
from nasforge_plugins.spaces.vit.config import VitConfig
from nasforge_plugins.spaces.vit.encoder import Attention, Hidden, Patches, TokenClassifier, hidden_channels

__all__ = ["EncoderBlock", "VitNetwork", "initialize"]


class EncoderBlock(nn.Module):
    """Attention, then the hidden layers, each added to the tokens.

    Args:
        attention: The first half.
        hidden: The second half.
    """

    def __init__(self, attention: Attention, hidden: Hidden) -> None:
        super().__init__()
        self.attention, self.hidden = attention, hidden

    def forward(
        self, x: Tensor, weights: OptionWeights | None, extent: Extent, inner: dict[str, Extent]
    ) -> Tensor:
        """Map tokens ``(B, tokens, channels)`` to the same shape."""
        x = x + self.attention(x, weights, extent)
        return x + self.hidden(x, weights, extent, inner)


class VitNetwork(Network):
    """Patches, blocks, classifier.

    A supernet runs the first blocks, heads and channels under the number of an option. Under a weight for
    every option it runs everything, and masks channels.

    Args:
        config: The options of the space.
        choices: Its choices: width, depth, and heads and ratio of every block.
        task: Input and output sizes.
        arch: The architecture; None builds every option.
    """

    has_blocks = True
    any_size = False

    def __init__(self, config: VitConfig, choices: Sequence[Choice], task: Task, arch: Arch | None) -> None:
        super().__init__()
        width, self.depth, *rest = choices
        side = task.image_size // config.patch_size
        self.width = Width(width, int, arch)
        self.hidden_widths = {ratio: Width(width, partial(_hidden, ratio), arch) for ratio in rest[1].options}
        largest, deepest = self.width.largest, len(rest) // 2
        self.depths = {int(option): option for option in pick_options(self.depth, arch)}
        self.patches = Patches(task.in_channels, largest, config.patch_size, side * side)
        self.blocks = nn.ModuleList()
        for i in range(max(self.depths)):
            share = i / max(deepest - 1, 1)
            attention = Attention(
                rest[2 * i], largest, config.head_dim, side, config.max_relative_position, share, arch
            )
            self.blocks.append(EncoderBlock(attention, Hidden(rest[2 * i + 1], largest, share, arch)))
        self.classifier = TokenClassifier(largest, task.num_classes)
        self.apply(initialize)
        shallowest = int(self.depth.options[0])
        self.taps = tuple(sorted({max(1, shallowest // 3), max(1, 2 * shallowest // 3)} - {shallowest}))
        self.feature_info = (FeatureInfo(largest, config.patch_size),) * (len(self.taps) + 1)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images ``(B, C, S, S)``; see `Network`.

        Features are the patches behind a third, two thirds, and all of the blocks of the shallowest network.
        """
        extent = self.width.under(weights, x)
        inner = {ratio: width.under(weights, x) for ratio, width in self.hidden_widths.items()}
        features: list[Tensor] = []
        depths = self._depths(self.patches(x, extent), weights, extent, inner, features)
        x = weighted_sum(self.depth, depths, weights)
        features.append(x)
        return Output(self.classifier(x, extent), tuple(map(self._as_map, features)))

    def _depths(
        self,
        x: Tensor,
        weights: OptionWeights | None,
        extent: Extent,
        inner: dict[str, Extent],
        features: list[Tensor],
    ) -> Iterator[tuple[str, Callable[[], Tensor]]]:
        """Yield the tokens behind each number of blocks to choose from; later blocks run when asked for."""
        for number, block in enumerate(self.blocks, 1):
            x = self.run_block(block, partial(block, weights=weights, extent=extent, inner=inner), x)
            if number in self.taps:
                features.append(x)
            if number in self.depths:
                yield self.depths[number], partial(_same, x)

    def _as_map(self, x: Tensor) -> Tensor:
        """Return the patches of tokens as ``(B, channels, side, side)``, with zeros for channels left out."""
        side = round((x.shape[1] - 1) ** 0.5)
        patches = F.pad(x[:, 1:], (0, self.width.largest - x.shape[-1]))
        return patches.transpose(1, 2).unflatten(2, (side, side))


def initialize(module: nn.Module) -> None:
    """Start a linear layer as published: a normal distribution of deviation .02, biases of zero."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _hidden(ratio: str, embed_dim: str) -> int:
    return hidden_channels(int(embed_dim), ratio)


def _same(x: Tensor) -> Tensor:
    return x
