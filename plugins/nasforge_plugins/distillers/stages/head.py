"""The head that turns a stage's feature map into logits (CDARTS, figure of the framework)."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["EmbeddingHead"]


class EmbeddingHead(nn.Module):
    """Pool, two convolutions, global pool, linear layer.

    Made for features of 7x7 and more. On smaller ones it shrinks: the window becomes the largest that leaves
    the second convolution its 2x2 pixels, it is left out on 2x2 features, and on a single pixel the second
    convolution is 1x1.

    Args:
        channels: Channels of the feature.
        side: Its side in pixels.
        classes: Width of the logits.
        pool: Side of the pooling window; None chooses 6 or the largest that fits.
    """

    def __init__(self, channels: int, side: int, classes: int, pool: int | None = None) -> None:
        super().__init__()
        size = min(6, side - 2) if pool is None else min(pool, side - 2)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(size, 2, count_include_pad=False) if size > 0 else nn.Identity(),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128, affine=False),
            nn.ReLU(),
            nn.Conv2d(128, 768, min(2, side), bias=False),
            nn.BatchNorm2d(768, affine=False),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Return logits, ``(B, classes)``, of a feature map ``(B, channels, side, side)``."""
        return self.classifier(self.layers(feature).mean((2, 3)))
