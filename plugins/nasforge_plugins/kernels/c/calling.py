"""Call kernels in C, and compute the size of their results."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nasforge_plugins.kernels.c.compiling import compiled

__all__ = ["address", "call", "pixels"]


def address(tensor: Tensor) -> int:
    """Return where the numbers of a contiguous tensor begin."""
    assert tensor.is_contiguous()
    return tensor.data_ptr()


def call(source: str, dtype: torch.dtype, name: str, form: ctypes.Structure, given: Sequence[Any]) -> None:
    """Run a kernel.

    Args:
        source: File that has it; there are kernels for ``dtype``.
        dtype: Of the maps.
        name: Of its function.
        form: Its first argument, in C.
        given: The other arguments: contiguous tensors, None for no tensor, or values of `ctypes`.
    """
    found = compiled(dtype, source)
    assert found is not None, "callers check has_kernels()"
    arguments = (
        ctypes.c_void_p(address(g)) if isinstance(g, Tensor) else ctypes.c_void_p() if g is None else g
        for g in given
    )
    found[name](ctypes.byref(form), *arguments)


def pixels(shape: Sequence[int], stride: int) -> int:
    """Return how many pixels a convolution with this stride makes of maps ``(B, H, W, C)``."""
    images, height, width, _ = shape
    return images * -(-height // stride) * -(-width // stride)
