"""Parameters and MACs of a cell's network by adding up its parts. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge.space import Task

__all__ = ["network_cost"]

KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
"""Side of the kernel of the operations that have weights."""

STAGES = 3


def network_cost(operations: Sequence[str], task: Task, channels: int, cells: int) -> dict[str, int]:
    """Count what `nasforge.cost.measure_arch` measures of the final network, without building it.

    Both counts are sums over operations: every edge of every cell adds its own.

    Args:
        operations: The six operations of the cell.
        task: Input and output sizes.
        channels: Width of the first stage; doubles with every stage.
        cells: Cells per stage.

    Returns:
        ``params`` and, for one image, ``macs``.
    """
    kernels = [KERNELS[name] for name in operations if name in KERNELS]
    side = task.image_size
    params, macs = _conv(task.in_channels, channels, 3, side)  # the stem
    width = channels
    for stage in range(STAGES):
        if stage:
            side = -(-side // 2)
            for inputs, kernel, norm in ((width, 3, True), (2 * width, 3, True), (width, 1, False)):
                more = _conv(inputs, 2 * width, kernel, side, norm)
                params, macs = params + more[0], macs + more[1]
            width *= 2
        for kernel in kernels:
            more = _conv(width, width, kernel, side)
            params, macs = params + cells * more[0], macs + cells * more[1]
    classifier = width * task.num_classes
    return {"params": params + 2 * width + classifier + task.num_classes, "macs": macs + classifier}


def _conv(inputs: int, outputs: int, kernel: int, side: int, norm: bool = True) -> tuple[int, int]:
    """Return parameters and MACs of a convolution without bias, and of the batch-norm behind it."""
    weights = inputs * outputs * kernel**2
    return weights + (2 * outputs if norm else 0), weights * side**2
