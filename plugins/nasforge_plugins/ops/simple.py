"""Operations without weights: pooling and the absent edge."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Zero", "pool"]


class Zero(nn.Module):
    """The operation ``none``: zeros of the size that the other operations return.

    Args:
        stride: Input side divided by output side.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros, shape ``(B, C, ⌈H / stride⌉, ⌈W / stride⌉)``."""
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


def pool(kind: str, channels: int, stride: int = 1, *, batch_norm: bool = False) -> nn.Module:
    """Return a 3x3 pooling that keeps the side, or halves it.

    Args:
        kind: ``"max"`` or ``"avg"``; the average leaves the padding out.
        channels: Channels of the input; only the batch norm asks for them.
        stride: Step of the window.
        batch_norm: Whether a batch norm without scale and shift follows.
    """
    window = (
        nn.MaxPool2d(3, stride, 1) if kind == "max" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    )
    return nn.Sequential(window, nn.BatchNorm2d(channels, affine=False)) if batch_norm else window
