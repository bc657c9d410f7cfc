"""From the options of a searcher to its architecture parameters."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from nasforge.nn import ArchParameters, Dirichlet, Gumbel, Relaxation, Sigmoid, Softmax, uniform_weights
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gradient.options import RelaxationOptions

__all__ = ["EdgeWeights", "make_relaxation", "relax"]

EdgeWeights = Literal["learned", "mean", "sum"]


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
    space: NetworkSpace[Any], options: RelaxationOptions, edges: EdgeWeights, std: float, runtime: Runtime
) -> tuple[ArchParameters, dict[str, Tensor]]:
    """Return architecture parameters, and constant weights for edges that are averaged.

    Args:
        space: The space that is searched.
        options: The relaxation.
        edges: "learned" gives edges a softmax, "mean" the same constant weight, "sum" none.
        std: Deviation of the normal distribution the parameters start from.
        runtime: Where they live.
    """
    relaxed = [c for c in space.choices if c.kind == "op" or edges == "learned"]
    averaged = [c for c in space.choices if c.kind == "edge" and edges == "mean"]
    alpha = runtime.prepare(ArchParameters(relaxed, std, make_relaxation(options)))
    return alpha, uniform_weights(averaged, device=runtime.device)
