"""Wider layers that start from narrower ones, for partial channels that grow during a search.

As in net2wider.py of xiangning-chen/DrNAS: new channels are copies of random old ones, without scaling, so
that a widened network starts close to the narrow one but does not compute the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nasforge.training.optim import match_layout

__all__ = ["Sources", "copy_widened", "find_sources", "widen_momentum"]

Sources = Mapping[str, tuple[Tensor | None, ...]]
"""By name of a tensor and dimension: the old channel that each new one copies, ``(new channels,)``; None
where the size stays."""


def find_sources(old: nn.Module, new: nn.Module, generator: torch.Generator) -> Sources:
    """Draw which old channel every new channel copies.

    The old channels come first. A norm copies the channels that the convolution before it does, or both
    convolutions whose maps it joins; a 1x1 convolution behind a dilated depthwise one reads the channels that
    this one has copied. All other layers draw for themselves.

    Args:
        old: The narrow network.
        new: The wide one; has no tensors that ``old`` lacks.
        generator: Draws on the CPU.

    Returns:
        `Sources` for the tensors of ``new`` that are larger than those of ``old``.
    """
    before, found = old.state_dict(), dict[str, tuple[Tensor | None, ...]]()
    recent: list[_Copied] = []

    def draw(narrow: int, wide: int) -> Tensor:
        copies = torch.randint(narrow, (wide - narrow,), generator=generator)
        return torch.cat([torch.arange(narrow), copies])

    for path, module in new.named_modules():
        own = {f"{path}.{n}".lstrip("."): t for n, t in module.state_dict().items() if "." not in n}
        if isinstance(module, nn.Conv2d):
            narrow, wide = before[f"{path}.weight"].shape, module.weight.shape
            outputs = draw(narrow[0], wide[0])
            shares = bool(recent) and recent[-1].is_dilated and len(recent[-1].outputs) == wide[1]
            rows: tuple[Tensor, ...] = (outputs, recent[-1].outputs if shares else draw(narrow[1], wide[1]))
            recent.append(_Copied(module, outputs, narrow[0]))
        elif isinstance(module, nn.BatchNorm2d):
            channels = len(before[f"{path}.running_mean"])
            joined = _join(recent, module.num_features)
            rows = (draw(channels, module.num_features) if joined is None else joined,)
            recent.clear()
        else:
            rows = ()
        for name, value in own.items():
            if value.shape != before[name].shape:
                sizes = zip(before[name].shape, value.shape, strict=True)
                found[name] = tuple(
                    rows[dim] if dim < len(rows) else draw(*pair) if pair[0] != pair[1] else None
                    for dim, pair in enumerate(sizes)
                )
    return found


@torch.no_grad()
def copy_widened(new: nn.Module, old: nn.Module, sources: Sources) -> None:
    """Copy every tensor of a network from a narrower one.

    Args:
        new: Receives the values.
        old: Gives them.
        sources: The result of `find_sources`.
    """
    before = old.state_dict()
    new.load_state_dict({name: widened(before[name], sources.get(name, ())) for name in new.state_dict()})


def widen_momentum(
    target: Optimizer, new: nn.Module, source: Optimizer, old: nn.Module, sources: Sources
) -> None:
    """Give an optimiser of a widened network the momentum of that of the narrow one.

    Args:
        target: Of the parameters of ``new``.
        new: The wide network.
        source: Of the parameters of ``old``.
        old: The narrow network.
        sources: The result of `find_sources`.
    """
    narrow = dict(old.named_parameters())
    for name, parameter in new.named_parameters():
        state = source.state.get(narrow[name], {})
        wide = {
            key: widened(value, sources.get(name, ())) if _is_like(value, narrow[name]) else value
            for key, value in state.items()
        }
        if wide:
            target.state[parameter] = match_layout(parameter, wide)


def widened(tensor: Tensor, sources: tuple[Tensor | None, ...]) -> Tensor:
    """Return a tensor whose new channels copy old ones; see `Sources`."""
    for dim, source in enumerate(sources):
        if source is not None:
            tensor = tensor.index_select(dim, source.to(tensor.device))
    return tensor


def _is_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


class _Copied(NamedTuple):
    """A convolution since the last norm.

    Attributes:
        conv: The wide one.
        outputs: The old channel that each of its output channels copies.
        narrow: How many output channels the old one has.
    """

    conv: nn.Conv2d
    outputs: Tensor
    narrow: int

    @property
    def is_dilated(self) -> bool:
        """Whether it is depthwise and dilated."""
        return self.conv.groups == self.conv.in_channels > 1 and self.conv.dilation[0] > 1


def _join(recent: Sequence[_Copied], channels: int) -> Tensor | None:
    """Return what the channels copy that a norm sees: those of one convolution, or of two side by side."""
    if recent and len(recent[-1].outputs) == channels:
        return recent[-1].outputs
    if len(recent) > 1 and len(recent[-1].outputs) + len(recent[-2].outputs) == channels:
        return torch.cat([recent[-2].outputs, recent[-1].outputs + recent[-2].narrow])
    return None
