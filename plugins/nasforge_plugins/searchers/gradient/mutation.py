"""Mutation of edges: some run one operation with weights alone while the network learns (EM-DARTS)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from nasforge.nn import ArchParameters, OptionWeights
from nasforge.nn.noise import architecture_noise
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gradient.cells import Cells, Given
from nasforge_plugins.searchers.gradient.options import MutationOptions

__all__ = ["EdgeMutation", "parametric_options"]


class EdgeMutation:
    """Draws which edges mutate in a batch, and which operation each of them runs.

    Every edge of every cell mutates for itself with the probability of the epoch. The weights of a mutated
    edge are 1 for an operation with parameters, uniformly drawn, and 0 for all others: as in the published
    code, these still run, and get gradients of zero (`MixedOp.forward` in its supplementary material).

    Args:
        options: The probabilities.
        space: Names the options without parameters.
        cells: The cells of the search network.
        alpha: Knows the options that have been pruned; those are not drawn.
    """

    def __init__(
        self, options: MutationOptions, space: NetworkSpace[Any], cells: Cells, alpha: ArchParameters
    ) -> None:
        self._first, self._last = options.probability
        self._cells = cells
        self._drawn = parametric_options(space, cells, alpha)
        self._rows: dict[int, Tensor] = {}

    def probability(self, share: float) -> float:
        """Return the probability that an edge mutates.

        Args:
            share: Share of the search that is over, 0 to 1.
        """
        return self._first + (self._last - self._first) * share

    def draw(self, weights: OptionWeights, share: float, fixed: Collection[str] = ()) -> list[Given]:
        """Return the weights of mutated edges, cell by cell.

        Args:
            weights: Option weights of all cells.
            share: Share of the search that is over, 0 to 1.
            fixed: Choices that do not mutate.
        """
        probability = self.probability(share)
        places = [[n for n in cell.names if n in self._drawn and n not in fixed] for cell in self._cells.list]
        if probability <= 0:
            return [{} for _ in places]
        with architecture_noise():
            numbers = iter(torch.rand(sum(map(len, places)), 2, dtype=torch.float64).tolist())
        found: list[Given] = []
        for names in places:
            given: dict[str, Tensor | int] = {}
            for name, (chance, which) in zip(names, numbers, strict=False):
                if chance < probability:
                    options = self._drawn[name]
                    given[name] = self._alone(options[int(which * len(options))], weights[name])
            found.append(given)
        return found

    def _alone(self, option: int, weights: Tensor | int) -> Tensor | int:
        if not isinstance(weights, Tensor):
            return option
        count = len(weights)
        if count not in self._rows or self._rows[count].device != weights.device:
            self._rows[count] = torch.eye(count, device=weights.device)
        return self._rows[count][option].to(weights.dtype)


def parametric_options(
    space: NetworkSpace[Any], cells: Cells, alpha: ArchParameters
) -> Mapping[str, list[int]]:
    """Return the positions of options with parameters, by choice; choices without any are left out.

    Args:
        space: Names the options without parameters, among them skips that have some where they reduce.
        cells: The cells of the search network, whose modules tell whether there are parameters.
        alpha: Knows the options that have been pruned, which are left out.
    """
    learning = {(name, option) for cell in cells.list for name, option, _ in cell.operations()}
    found = {}
    for choice in space.choices:
        if choice.kind != "op" or choice.name not in alpha.logits:
            continue
        options = [
            i
            for i, option in enumerate(choice.options)
            if option not in space.parameter_free and (choice.name, option) in learning
        ]
        if choice.name in alpha.kept:
            options = [i for i in options if alpha.kept[choice.name][i]]
        if options:
            found[choice.name] = options
    return found
