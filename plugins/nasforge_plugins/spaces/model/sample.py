"""A small residual network, to try the space with."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ResidualBlock", "SmallResNet"]


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut (He et al., 2016, Fig. 2).

    Args:
        c_in: Input channels.
        c_out: Output channels.
        stride: Of the first convolution.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.act = nn.ReLU()
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or c_in != c_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, c_in, H, W)`` to ``(B, c_out, H / stride, W / stride)``."""
        y = self.act(self.norm1(self.conv1(x)))
        return self.act(self.norm2(self.conv2(y)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """Stem, two stages of residual blocks, and a classifier.

    Args:
        channels: Of the first stage; the second has twice as many.
        blocks: Per stage.
        num_classes: Width of the logits.
    """

    def __init__(self, channels: int = 16, blocks: int = 2, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.stage1 = nn.Sequential(*(ResidualBlock(channels, channels) for _ in range(blocks)))
        self.stage2 = nn.Sequential(
            ResidualBlock(channels, 2 * channels, 2),
            *(ResidualBlock(2 * channels, 2 * channels) for _ in range(blocks - 1)),
        )
        self.fc = nn.Linear(2 * channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, 3, S, S)`` to logits ``(B, classes)``."""
        return self.fc(self.stage2(self.stage1(self.stem(x))).mean((2, 3)))
