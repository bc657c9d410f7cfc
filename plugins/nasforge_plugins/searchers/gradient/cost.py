"""Expected cost of the networks under the option weights, as a penalty with gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nasforge.arch import Choice
from nasforge.component import Context
from nasforge.cost.additive import AdditiveCost, Picks
from nasforge.errors import RecipeError, RunError
from nasforge_plugins.searchers.gradient.options import CostOptions

__all__ = ["CostPenalty", "ExpectedCost", "make_cost_penalty"]


class ExpectedCost:
    """The cost of the final network, averaged over the weights of options (ProxylessNAS, Eq. 4).

    An option counts by the chance that it is in the network: its weight, if a choice takes one option. Where
    options of one choice lie inside an option of another, the chances multiply. This is the exact mean if
    every choice is drawn by itself from its weights, and the exact cost where weights are 0 and 1. It is an
    estimate where a choice takes several options, whose chance is taken as k times the weight, at most 1;
    where choices are not learned, whose options are taken as equally likely; and where a space derives
    architectures by rules of its own.

    Args:
        cost: Cost of every option.
        name: Which of its costs.
        device: Where the weights live.
    """

    def __init__(self, cost: AdditiveCost, name: str, device: torch.device | str | None = None) -> None:
        self.name = name
        self._rest = cost.rest[name]
        self._choices = {c.name: c for c in cost.choices}
        self._chances = {
            c.name: torch.full((len(c.options),), _taken(c) / len(c.options), device=device)
            for c in cost.choices
        }
        prices: dict[tuple[Picks, str], Tensor] = {}
        for term in cost.terms:
            *gates, (choice, option) = term.picks
            key = (tuple(gates), choice)
            if key not in prices:
                prices[key] = torch.zeros(len(self._choices[choice].options), device=device)
            prices[key][self._choices[choice].options.index(option)] = term.costs[name]
        self._prices = {key: vector for key, vector in prices.items() if vector.any()}

    def __call__(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the expected cost, a scalar.

        Args:
            weights: Per learned choice, shape ``(options,)``, adding up to 1.
        """
        chances = dict(self._chances)
        for name, share in weights.items():
            k = _taken(self._choices[name])
            chances[name] = share if k == 1 else (k * share).clamp_max(1.0)
        terms = []
        for (gates, choice), prices in self._prices.items():
            value = chances[choice] @ prices
            for outer, option in gates:
                value = value * chances[outer][self._choices[outer].options.index(option)]
            terms.append(value)
        return self._rest + torch.stack(terms).sum() if terms else torch.tensor(self._rest)


class CostPenalty:
    """The expected cost as a term of the loss, in units that do not depend on the space.

    Without a target the term is the expected cost over that of equally likely options, which is where a
    search begins; with one, the share by which it is above the target, and 0 below.

    Args:
        expected: The expected cost.
        weight: Strength.
        target: In the unit of the cost.
    """

    def __init__(self, expected: ExpectedCost, weight: float, target: float | None = None) -> None:
        self.expected, self._weight, self._target = expected, weight, target
        self._start = float(expected({})) or 1.0

    def __call__(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty, a scalar.

        Args:
            weights: Per learned choice, shape ``(options,)``, adding up to 1.
        """
        cost = self.expected(weights)
        if self._target is None:
            return self._weight * cost / self._start
        return self._weight * torch.relu(cost / self._target - 1.0)


def _taken(choice: Choice) -> int:
    """Return how many options count: of the operations of an edge that is taken, those that must be there."""
    return max(1, choice.sizes[0]) if choice.kind == "op" else choice.k


def make_cost_penalty(options: CostOptions, ctx: Context) -> CostPenalty | None:
    """Return the penalty that the options ask for; None if its weight is 0.

    Args:
        options: Metric, weight and target.
        ctx: Its constraints know the cost of each option.

    Raises:
        RecipeError: The cost of a single option is unknown.
    """
    if not options.weight:
        return None
    try:
        cost = ctx.constraints.itemize(options.metric)
    except RunError as error:
        hint = " Set constraints.latency to a latency table." if options.metric == "latency_ms" else ""
        raise RecipeError("[searcher]", [f'cost.metric = "{options.metric}": {error}{hint}']) from None
    expected = ExpectedCost(cost, options.metric, ctx.runtime.device)
    return CostPenalty(expected, options.weight, options.target)
