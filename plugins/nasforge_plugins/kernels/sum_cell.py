"""The operator for a cell of four nodes, each the sum of weighted operations on earlier nodes.

Fallback: fused. Per source node, the ReLU and the pooling run once, all convolutions of one kernel size run
as one with stacked output channels, and the weight of an operation is folded into scale and shift of its
norm.

Shapes: nodes are ``(B, C, H, W)``, and operations keep the shape. The kernels in C compute float32 and
float64 on the CPU without autocast. Gradients: of the input, of all parameters and of the option weights,
first derivatives only with kernels. While training, norms use the statistics of the batch and move the
running ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge_plugins.kernels.door import find_kernel
from nasforge_plugins.ops.basics import average_pool

__all__ = ["NODES", "CellOperation", "OperationKind", "sum_cell"]

NODES = 4
OperationKind = Literal["conv_3x3", "conv_1x1", "skip", "pool"]


class CellOperation(NamedTuple):
    """An operation that runs.

    Attributes:
        source: Node that it reads, from 0.
        node: Node that it is added to, behind ``source``.
        kind: ReLU, convolution and norm; identity; or average over 3x3 pixels.
        weight: Weight of the convolution, ``(C, C, k, k)``.
        norm: Norm behind the convolution.
        factors: Option weights, a vector or a scalar; None is a weight of one.
        place: Position of the operation in the vector; None for a scalar.
    """

    source: int
    node: int
    kind: OperationKind
    weight: Tensor | None = None
    norm: nn.BatchNorm2d | None = None
    factors: Tensor | None = None
    place: int | None = None

    @property
    def factor(self) -> Tensor | None:
        """The option weight, a scalar; None is one."""
        return self.factors if self.factors is None or self.place is None else self.factors[self.place]


def sum_cell(operations: Sequence[CellOperation], x: Tensor, training: bool) -> Tensor:
    """Return the last node, ``(B, C, H, W)``.

    Args:
        operations: All that runs, sorted by source and node.
        x: The first node, ``(B, C, H, W)``.
        training: Whether norms use and record the statistics of the batch.
    """
    kernel = find_kernel("sum_cell", x)
    return (_sum_by_source if kernel is None else kernel)(operations, x, training)


def _sum_by_source(operations: Sequence[CellOperation], x: Tensor, training: bool) -> Tensor:
    nodes: list[Tensor | None] = [x, *[None] * (NODES - 1)]

    def add(node: int, value: Tensor, factor: Tensor | None) -> None:
        total = nodes[node]
        if factor is not None and total is not None:
            nodes[node] = torch.addcmul(total, value, factor.to(value.dtype))
        else:
            scaled = value if factor is None else factor.to(value.dtype) * value
            nodes[node] = scaled if total is None else total + scaled

    for source in range(NODES - 1):
        leaving = [operation for operation in operations if operation.source == source]
        ones, threes, skips, pools = (
            [operation for operation in leaving if operation.kind == kind]
            for kind in ("conv_1x1", "conv_3x3", "skip", "pool")
        )
        state = nodes[source]
        if state is None:
            state = torch.zeros_like(x)
        if ones or threes:
            rectified = state.relu()
            for group in filter(None, (ones, threes)):
                for node, value in _convolve(rectified, group, training):
                    add(node, value, None)
        for operation in skips:
            add(operation.node, state, operation.factor)
        if pools:
            pooled = average_pool(state)
            for operation in pools:
                add(operation.node, pooled, operation.factor)
    return torch.zeros_like(x) if nodes[-1] is None else nodes[-1]


def _convolve(rectified: Tensor, group: Sequence[CellOperation], training: bool) -> list[tuple[int, Tensor]]:
    """Run convolutions and norms of one kernel size together; return one map per operation, with its node."""
    weights = [cast("Tensor", operation.weight) for operation in group]
    stacked = weights[0] if len(weights) == 1 else torch.cat(weights)
    maps = F.conv2d(rectified, stacked, padding=stacked.shape[-1] // 2)
    scales, shifts = zip(*map(_scale_and_shift, group), strict=True)
    norms = [cast("nn.BatchNorm2d", operation.norm) for operation in group]
    mean = torch.cat([cast("Tensor", norm.running_mean) for norm in norms])
    variance = torch.cat([cast("Tensor", norm.running_var) for norm in norms])
    momentum = cast("float", norms[0].momentum)
    maps = F.batch_norm(
        maps, mean, variance, torch.cat(scales), torch.cat(shifts), training, momentum, norms[0].eps
    )
    channels = weights[0].shape[0]
    if training:
        with torch.no_grad():
            for norm, new_mean, new_variance in zip(
                norms, mean.split(channels), variance.split(channels), strict=True
            ):
                cast("Tensor", norm.running_mean).copy_(new_mean)
                cast("Tensor", norm.running_var).copy_(new_variance)
                cast("Tensor", norm.num_batches_tracked).add_(1)
    parts = maps.split(channels, 1)
    return [(operation.node, part) for operation, part in zip(group, parts, strict=True)]


def _scale_and_shift(operation: CellOperation) -> tuple[Tensor, Tensor]:
    norm, factor = cast("nn.BatchNorm2d", operation.norm), operation.factor
    like = cast("Tensor", norm.running_mean)
    scale = torch.ones_like(like) if norm.weight is None else norm.weight
    shift = torch.zeros_like(like) if norm.bias is None else norm.bias
    if factor is None:
        return scale, shift
    factor = factor.to(like.dtype)
    return factor * scale, factor * shift
