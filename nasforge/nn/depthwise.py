"""Memory layout of depthwise convolutions, which may differ from that of the network around them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DepthwiseLayout", "convolve_depthwise", "convolve_in_layout", "lay_out_depthwise"]

DepthwiseLayout = Literal["channels_last", "contiguous"]

_contiguous = set[str]()
"""Kinds of devices whose depthwise convolutions compute in contiguous layout; never the CPU."""


def lay_out_depthwise(module: nn.Module, device: torch.device, layout: DepthwiseLayout) -> None:
    """Let the depthwise convolutions of a device compute in a layout, between maps in channels-last.

    Args:
        module: Its own depthwise `nn.Conv2d` get the layout, too.
        device: Where it computes. On a CPU nothing changes.
        layout: ``"channels_last"`` leaves convolutions as they are.
    """
    if device.type == "cpu":
        return
    if layout == "channels_last":
        _contiguous.discard(device.type)
        return
    _contiguous.add(device.type)
    for convolution in module.modules():
        if isinstance(convolution, nn.Conv2d) and 1 < convolution.groups == convolution.in_channels:
            convolution.weight.data = _plain(convolution.weight.data)
            if _enter not in convolution._forward_pre_hooks.values():
                convolution.register_forward_pre_hook(_enter)
                convolution.register_forward_hook(_leave)


def convolve_depthwise(
    x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """Convolve every channel with its own kernels, in the layout that was chosen for the device.

    Args:
        x: ``(B, C, H, W)``, channels last.
        weight: ``(n C, 1, k, k)``.
        stride: Step of the convolution.
        padding: Zeros on every side.
        dilation: Distance between taps.

    Returns:
        ``(B, n C, H', W')``, channels last.
    """
    layout: DepthwiseLayout = "contiguous" if x.device.type in _contiguous else "channels_last"
    return convolve_in_layout(x, weight, stride, padding, dilation, layout)


def convolve_in_layout(
    x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int, layout: DepthwiseLayout
) -> Tensor:
    """Convolve as `convolve_depthwise` does, in a given layout; conversions from and to it included."""
    if layout == "channels_last":
        return F.conv2d(x, weight, None, stride, padding, dilation, x.shape[1])
    y = F.conv2d(x.contiguous(), _plain(weight), None, stride, padding, dilation, x.shape[1])
    return y.contiguous(memory_format=torch.channels_last)


def _plain(weight: Tensor) -> Tensor:
    """Return kernels ``(C, 1, k, k)`` with plain strides: their one input channel leaves strides open."""
    return weight.reshape(-1).view(weight.shape)


def _enter(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].contiguous(), *inputs[1:])


def _leave(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return output.contiguous(memory_format=torch.channels_last)
