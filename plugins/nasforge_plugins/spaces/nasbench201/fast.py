"""Cells computed by source node instead of by edge: the same numbers from the same parameters, sooner.

Per source node the ReLU and the pooling run once, all convolutions of one kernel size run as one convolution
with stacked output channels, and the weight of an operation is folded into scale and shift of its batch-norm.
On a CPU kernels in C do it all, see `nasforge_plugins.spaces.nasbench201.cell`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.nn import ChoiceBlock, OptionWeights, Picked
from nasforge_plugins.spaces.nasbench201.native import fits, run_native
from nasforge_plugins.spaces.nasbench201.notation import EDGES
from nasforge_plugins.spaces.nasbench201.operations import NormalisedConv, average_pool

__all__ = ["run_fast"]

Weighted = tuple[int, NormalisedConv, Tensor | None]
"""Target node, convolution, weight; None is a weight of one."""


def run_fast(
    edges: Sequence[ChoiceBlock], x: Tensor, weights: OptionWeights | None, training: bool
) -> Tensor:
    """Return the output node of a cell.

    Args:
        edges: The edges in the order of `EDGES`.
        x: The input node, ``(B, C, H, W)``.
        weights: Operation weights by edge name.
        training: Whether batch-norms use and record batch statistics.
    """
    if fits(x):
        return run_native(edges, x, weights, training)
    nodes: list[Tensor | None] = [x, None, None, None]

    def add(node: int, value: Tensor, weight: Tensor | None) -> None:
        total = nodes[node]
        if weight is not None and total is not None:
            nodes[node] = torch.addcmul(total, value, weight.to(value.dtype))
        else:
            scaled = value if weight is None else weight.to(value.dtype) * value
            nodes[node] = scaled if total is None else total + scaled

    for source in range(3):
        convs: dict[str, list[Weighted]] = {"nor_conv_1x1": [], "nor_conv_3x3": []}
        plain: dict[str, list[tuple[int, Tensor | None]]] = {"skip_connect": [], "avg_pool_3x3": []}
        for (node, start), edge in zip(EDGES, edges, strict=True):
            if start != source:
                continue
            for name, weight in _active(edge, weights):
                if name in convs:
                    convs[name].append((node, cast("NormalisedConv", edge.options[name]), weight))
                elif name in plain:
                    plain[name].append((node, weight))
        state = nodes[source]
        if state is None:
            state = torch.zeros_like(x)
        if any(convs.values()):
            rectified = state.relu()
            for group in filter(None, convs.values()):
                for node, value in _convolve(rectified, group, training):
                    add(node, value, None)
        for node, weight in plain["skip_connect"]:
            add(node, state, weight)
        if plain["avg_pool_3x3"]:
            pooled = average_pool(state)
            for node, weight in plain["avg_pool_3x3"]:
                add(node, pooled, weight)
    return torch.zeros_like(x) if nodes[3] is None else nodes[3]


def _active(edge: ChoiceBlock, weights: OptionWeights | None) -> list[tuple[str, Tensor | None]]:
    """Return the operations of an edge that run, with their weights."""
    scale = None if weights is None else weights.get(edge.choice.name)
    if scale is None:
        return [(name, None) for name in edge.options]
    options = edge.choice.options
    if isinstance(scale, int):
        return [(options[scale], scale.weight if isinstance(scale, Picked) else None)]
    return [(name, scale[options.index(name)]) for name in edge.options]


def _convolve(rectified: Tensor, group: Sequence[Weighted], training: bool) -> list[tuple[int, Tensor]]:
    """Run convolutions and batch-norms of one kernel size together; return one map per target."""
    modules = [module for _, module, _ in group]
    kernels = [module.conv.weight for module in modules]
    stacked = kernels[0] if len(kernels) == 1 else torch.cat(kernels)
    maps = F.conv2d(rectified, stacked, padding=modules[0].conv.padding)
    scales, shifts = zip(*(_scale_and_shift(module, weight) for _, module, weight in group), strict=True)
    norms = [module.norm for module in modules]
    mean = torch.cat([cast("Tensor", norm.running_mean) for norm in norms])
    variance = torch.cat([cast("Tensor", norm.running_var) for norm in norms])
    momentum = cast("float", norms[0].momentum)
    maps = F.batch_norm(
        maps, mean, variance, torch.cat(scales), torch.cat(shifts), training, momentum, norms[0].eps
    )
    channels = kernels[0].shape[0]
    if training:
        with torch.no_grad():
            for norm, new_mean, new_variance in zip(
                norms, mean.split(channels), variance.split(channels), strict=True
            ):
                cast("Tensor", norm.running_mean).copy_(new_mean)
                cast("Tensor", norm.running_var).copy_(new_variance)
                cast("Tensor", norm.num_batches_tracked).add_(1)
    return [(node, part) for (node, _, _), part in zip(group, maps.split(channels, 1), strict=True)]


def _scale_and_shift(module: NormalisedConv, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    norm = module.norm
    like = cast("Tensor", norm.running_mean)
    scale = torch.ones_like(like) if norm.weight is None else norm.weight
    shift = torch.zeros_like(like) if norm.bias is None else norm.bias
    if weight is None:
        return scale, shift
    weight = weight.to(like.dtype)
    return weight * scale, weight * shift
