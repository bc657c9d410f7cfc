"""Take fewer channels and other kernels of trained layers, keeping the weights that are left."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge_plugins.spaces.model.channels import is_depthwise
from nasforge_plugins.spaces.model.plan import InnerWidth

__all__ = ["narrow", "narrowed_size", "resize_kernel"]


def narrowed_size(inner: InnerWidth, percent: int, divisor: int) -> int:
    """Return how many channels are left of an inner width: a multiple of the divisor, at least one of it.

    Args:
        inner: The width.
        percent: Wanted share.
        divisor: Divides the result, as does what the norms need; above the original it is the original.
    """
    step = math.lcm(divisor, inner.multiple)
    wanted = inner.channels * percent / 100
    return min(inner.channels, max(1, int(wanted / step + 0.5)) * step)


@torch.no_grad()
def narrow(block: nn.Module, inner: InnerWidth, count: int) -> None:
    """Keep the most important channels of an inner width, in their order.

    The importance of a channel is the sum of the absolute weights that make it (Li et al., "Pruning filters
    for efficient ConvNets", ICLR 2017, section 3.1).

    Args:
        block: Is changed.
        inner: The width.
        count: Channels that stay.
    """
    makers = [block.get_submodule(name) for name in inner.producers]
    weights = [m.weight for m in makers if isinstance(m, nn.Conv2d)]
    if weights[0].device.type == "meta":
        kept = torch.arange(count, device="meta")
    else:
        importance = torch.stack([w.abs().sum((1, 2, 3)) for w in weights]).sum(0)
        kept = importance.sort(descending=True, stable=True).indices[:count].sort().values
    for module in makers:
        _keep_outputs(module, kept)
    for name in inner.carriers:
        _keep_passing(block.get_submodule(name), kept)
    for name in inner.consumers:
        _keep_inputs(block.get_submodule(name), kept)


def resize_kernel(conv: nn.Conv2d, side: int) -> nn.Conv2d:
    """Return a convolution with another kernel: the middle of the weights, or these with zeros around them.

    Args:
        conv: Is left as it is.
        side: Of the new kernel; maps keep their size.
    """
    resized = copy.deepcopy(conv)
    change = (side - conv.kernel_size[0]) // 2
    # A negative padding cuts.
    _set(resized, "weight", F.pad(conv.weight.detach(), (change,) * 4))
    resized.kernel_size = (side, side)
    resized.padding = (conv.dilation[0] * (side // 2),) * 2
    return resized


def _keep_outputs(module: nn.Module, kept: Tensor) -> None:
    _select(module, ("weight", "bias"), kept)
    module.out_channels = len(kept)  # type: ignore[assignment]


def _keep_inputs(module: nn.Module, kept: Tensor) -> None:
    assert isinstance(module, nn.Conv2d)
    _set(module, "weight", module.weight.detach()[:, kept])
    module.in_channels = len(kept)


def _keep_passing(module: nn.Module, kept: Tensor) -> None:
    if isinstance(module, nn.Conv2d):
        assert is_depthwise(module)
        _keep_outputs(module, kept)
        module.in_channels = module.groups = len(kept)
        return
    _select(module, ("weight", "bias", "running_mean", "running_var"), kept)
    name = "num_channels" if isinstance(module, nn.GroupNorm) else "num_features"
    setattr(module, name, len(kept))


def _select(module: nn.Module, names: Sequence[str], kept: Tensor) -> None:
    for name in names:
        tensor = getattr(module, name, None)
        if tensor is not None:
            _set(module, name, tensor.detach()[kept])


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    value = value.clone()
    if name in module._parameters:
        old = module._parameters[name]
        assert old is not None
        module._parameters[name] = nn.Parameter(value, requires_grad=old.requires_grad)
    else:
        module._buffers[name] = value
