"""Gaps of the published weight transfer, kept as options because they change numbers."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasforge.arch import Arch
from nasforge.nn import ChoiceBlock, EdgeSum

__all__ = ["find_untransferred", "norms_inside"]


def find_untransferred(network: nn.Module, arch: Arch) -> list[str]:
    """Return what the published weight transfer does not reach.

    It goes through a node's edges from the strongest to the weakest, and ends at the first identity instead
    of passing over it: the edges after it keep the random weights they were built with.

    Args:
        network: The evaluation network of ``arch``.
        arch: Answers the edge choices in order of strength.

    Returns:
        Beginnings of the parameter names of these edges.
    """
    return [
        f"{name}.edges.{edge}."
        for name, node in network.named_modules()
        if isinstance(node, EdgeSum)
        for edge in _after_identity(node, arch[node.choice.name])
    ]


def norms_inside(network: nn.Module) -> list[str]:
    """Return the batch norms of operations, which the published bank of NAS-Bench-201 has no values for.

    Its operations normalise without scale and shift, those of the evaluation network with both.

    Args:
        network: The evaluation network.

    Returns:
        Beginnings of the names of their parameters and buffers.
    """
    return [
        f"{block}.{name}."
        for block, module in network.named_modules()
        if isinstance(module, ChoiceBlock)
        for name, inner in module.named_modules()
        if isinstance(inner, _BatchNorm)
    ]


def _after_identity(node: EdgeSum, ranked: tuple[str, ...]) -> tuple[str, ...]:
    for rank, edge in enumerate(ranked):
        if _is_identity(node.edges[edge]):
            return ranked[rank + 1 :]
    return ()


def _is_identity(edge: nn.Module) -> bool:
    blocks = [module for module in edge.modules() if isinstance(module, ChoiceBlock)]
    options = [option for block in blocks for option in block.options.values()] or [edge]
    return all(isinstance(option, nn.Identity) for option in options)
