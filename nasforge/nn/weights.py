"""Weights by name: one-hot option weights, copying between networks, sharing submodules."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.nn.elastic import place_slice, sliced_tensors

__all__ = ["copy_shared", "one_hot", "tie"]


def one_hot(
    choices: Iterable[Choice],
    arch: Arch,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return the option weights under which a supernet computes the network of ``arch``.

    Args:
        choices: The choices of the space.
        arch: One of its architectures.
        device: Where the weights live.
        dtype: Their type.

    Returns:
        Per choice a vector of zeros with a one at each picked option.
    """
    return {
        c.name: torch.tensor([float(o in arch[c.name]) for o in c.options], device=device, dtype=dtype)
        for c in choices
    }


@torch.no_grad()
def copy_shared(target: nn.Module, source: nn.Module, skip: Iterable[str] = ()) -> None:
    """Copy every tensor (parameters and buffers) that both modules have under the same name and shape.

    Tensors of `Sliced` modules may differ in shape: what is copied then is the slice that both have, and the
    rest of a larger target stays as it is.

    Args:
        target: Receives the values.
        source: Gives them; may live on another device.
        skip: Beginnings of names that are left alone.

    Raises:
        RuntimeError: A shared name has two shapes, and neither is a slice of the other.
    """
    ours, theirs, skipped = target.state_dict(), source.state_dict(), tuple(skip)
    shared = {n: theirs[n] for n in ours if n in theirs and not n.startswith(skipped)}
    for name, centred in sliced_tensors(target).items():
        if name not in shared:
            continue
        mine, other = ours[name], shared[name]
        if (inner := place_slice(mine.shape, other.shape, centred)) is not None:
            shared[name] = other[inner]
        elif (inner := place_slice(other.shape, mine.shape, centred)) is not None:
            whole = mine.clone()
            whole[inner] = other
            shared[name] = whole
    target.load_state_dict(shared, strict=False)


def tie(target: nn.Module, source: nn.Module, names: Iterable[str]) -> None:
    """Make ``target`` use ``source``'s own submodules, so that they are trained together.

    Args:
        target: Its submodules of these names are replaced.
        source: Owns the submodules.
        names: Dotted names, such as `NetworkSpace.tied`.
    """
    for name in names:
        parent, _, leaf = name.rpartition(".")
        setattr(target.get_submodule(parent), leaf, source.get_submodule(name))
