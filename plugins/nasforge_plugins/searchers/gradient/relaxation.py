"""From the options of a searcher to its architecture parameters."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nasforge.nn import ArchParameters, Dirichlet, Gumbel, Relaxation, Sigmoid, Softmax, uniform_weights
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gradient.options import RelaxationOptions, SupernetOptions

__all__ = ["make_relaxation", "relax"]


def make_relaxation(options: RelaxationOptions) -> Relaxation:
    """Return the relaxation that the options name."""
    match options.kind:
        case "softmax":
            return Softmax()
        case "gumbel":
            return Gumbel(*options.temperature)
        case "dirichlet":
            return Dirichlet()
        case "sigmoid":
            return Sigmoid()


def relax(
    space: NetworkSpace[Any], options: SupernetOptions, runtime: Runtime
) -> tuple[ArchParameters, dict[str, Tensor]]:
    """Return architecture parameters, and constant weights for edges that are averaged.

    Args:
        space: The space that is searched.
        options: The relaxation, the weights of edges, and the deviation the parameters start with.
        runtime: Device of the parameters.
    """
    edges = options.edge_weights
    relaxed = [c for c in space.choices if c.kind == "op" or edges == "learned"]
    averaged = [c for c in space.choices if c.kind == "edge" and edges == "mean"]
    alpha = runtime.prepare(
        ArchParameters(relaxed, options.arch_init_std, make_relaxation(options.relaxation))
    )
    return alpha, uniform_weights(averaged, device=runtime.device)
