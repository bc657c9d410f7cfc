"""The auxiliary classifier of the DARTS family: a second loss at two thirds of the depth, for training."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

__all__ = ["AuxiliaryHead"]


class AuxiliaryHead(nn.Module):
    """Classifies from a feature map: pool to 2x2, 1x1 convolution to 128, 2x2 to 768, linear.

    The CIFAR form pools 5x5 with stride 3 (side 8 becomes 2), the ImageNet form with stride 2 (side 7 becomes
    2) and has no batch norm behind its last convolution, a slip of the original that published numbers
    contain. Where such a pooling leaves no 2x2 grid, the map is averaged to one; where it leaves a larger
    grid, the results are averaged.

    Args:
        channels: Channels of the feature map.
        classes: Width of the logits.
        side: Side of the feature map.
        form: Which data set's form to build.
    """

    def __init__(
        self, channels: int, classes: int, side: int, form: Literal["cifar", "imagenet"] = "cifar"
    ) -> None:
        super().__init__()
        stride = 3 if form == "cifar" else 2
        fits = (side - 5) // stride + 1 >= 2
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride, count_include_pad=False) if fits else nn.AdaptiveAvgPool2d(2),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768) if form == "cifar" else nn.Identity(),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Return logits ``(B, classes)`` of a map ``(B, channels, side, side)``."""
        return self.classifier(self.features(feature).mean((2, 3)))
