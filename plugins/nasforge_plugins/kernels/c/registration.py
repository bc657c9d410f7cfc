"""The operators that are implemented in C; see `nasforge_plugins.kernels.door`."""

from __future__ import annotations

from nasforge_plugins.kernels.c import (
    bottleneck_function,
    bundle_function,
    cell_call,
    winograd_operators,
)
from nasforge_plugins.kernels.door import Kernel

__all__ = ["KERNELS"]

KERNELS = {
    "bundle": Kernel(bundle_function.has_kernels, bundle_function.bundle_in_c),
    "sum_cell": Kernel(cell_call.has_kernels, cell_call.sum_cell_in_c),
    "bottlenecks": Kernel(bottleneck_function.has_kernels, bottleneck_function.narrow_in_c),
    "convolution": Kernel(winograd_operators.has_kernels, winograd_operators.convolve),
    "convolution_backward": Kernel(winograd_operators.has_kernels, winograd_operators.convolve_backward),
}
