"""The operator for 3x3 convolutions of stride 1 with a border of one zero.

Fallback: plain modules. Callers convolve with torch where `has_kernels` is false.

Shapes: maps ``(B, H, W, in)`` and ``(B, H, W, out)``, weight ``(out, in, 3, 3)``, all of one dtype, float32
or float64, on the CPU. Neither function is recorded by autograd: `convolve_backward` returns the gradients,
for use in a `torch.autograd.Function`. The kernels multiply less than a direct convolution (Winograd's
minimal filtering), and round differently.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor

from nasforge_plugins.kernels.door import find_kernel

__all__ = ["convolve", "convolve_backward", "has_kernels"]


def has_kernels(x: Tensor) -> bool:
    """Return whether `convolve` can compute maps like ``x``."""
    return find_kernel("convolution", x) is not None


def convolve(x: Tensor, weight: Tensor, *, moments: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the convolution and, on request, its mean and biased variance per channel.

    Args:
        x: ``(B, H, W, in)``; see `has_kernels`.
        weight: ``(out, in, 3, 3)``.
        moments: Whether to compute mean and variance; they are empty otherwise.

    Returns:
        ``(B, H, W, out)``, ``(out,)``, ``(out,)``.
    """
    kernel = find_kernel("convolution", x)
    assert kernel is not None, "callers check has_kernels()"
    return cast("tuple[Tensor, Tensor, Tensor]", kernel(x, weight, moments=moments))


def convolve_backward(
    grad: Tensor, x: Tensor, weight: Tensor, *, of_x: bool, of_weight: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the map and of the weight.

    Args:
        grad: Gradient of the convolution, ``(B, H, W, out)``.
        x: As in `convolve`.
        weight: As in `convolve`.
        of_x: Whether to compute the first gradient; it is empty otherwise.
        of_weight: Whether to compute the second gradient; it is empty otherwise.
    """
    kernel = find_kernel("convolution_backward", x)
    assert kernel is not None, "callers check has_kernels()"
    return cast("tuple[Tensor, Tensor]", kernel(grad, x, weight, of_x=of_x, of_weight=of_weight))
