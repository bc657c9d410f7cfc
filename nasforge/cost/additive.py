"""Costs that add up: what every option of every choice costs by itself, and what is always there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasforge.arch import Arch, Choice

__all__ = ["AdditiveCost", "Picks", "Term"]

Picks = tuple[tuple[str, str], ...]
"""Choices and the options they must take, outermost first."""


@dataclass(frozen=True, slots=True)
class Term:
    """What is paid if some choices take some options.

    Attributes:
        picks: The choices and options. More than one if a choice lies inside an option of another, such as
            the operation on an edge that a node may leave out.
        costs: By name of the cost.
    """

    picks: Picks
    costs: Mapping[str, float]


class AdditiveCost:
    """The cost of an architecture as a sum of terms.

    Args:
        choices: Every decision of the space.
        rest: What every architecture pays, by name of the cost.
        terms: What it pays besides. Terms of equal ``picks`` are added up; an option without a term is free.
    """

    def __init__(
        self, choices: Iterable[Choice], rest: Mapping[str, float], terms: Iterable[Term] = ()
    ) -> None:
        self.choices = tuple(choices)
        self.rest = dict(rest)
        self._costs: dict[Picks, dict[str, float]] = {}
        for term in terms:
            total = self._costs.setdefault(term.picks, dict.fromkeys(self.rest, 0.0))
            for name in self.rest:
                total[name] += term.costs.get(name, 0.0)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, one for every combination of picks."""
        return tuple(Term(picks, costs) for picks, costs in self._costs.items())

    def of(self, arch: Arch) -> dict[str, float]:
        """Return what an architecture costs, by name."""
        total = dict(self.rest)
        for picks, costs in self._costs.items():
            if all(option in arch[choice] for choice, option in picks):
                for name in total:
                    total[name] += costs[name]
        return total

    def bound(self, name: str) -> float:
        """Return a cost that no architecture is below: the cheapest answers, if they fit together or not.

        Args:
            name: Of the cost.
        """
        return self.rest[name] + self._cheapest_below((), name)

    def preferences(self, name: str) -> dict[str, list[float]]:
        """Return option weights that favour cheap options: `SearchSpace.discretize` makes a cheap network.

        Args:
            name: Of the cost.
        """
        prices = {c.name: [self._price(c.name, option, name) for option in c.options] for c in self.choices}
        scale = max((max(row) for row in prices.values()), default=0.0) or 1.0
        return {choice: [1.0 / (1.0 + price / scale) for price in row] for choice, row in prices.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `from_json`."""
        return {
            "rest": self.rest,
            "terms": [{"picks": [list(p) for p in t.picks], "costs": dict(t.costs)} for t in self.terms],
        }

    @classmethod
    def from_json(cls, choices: Iterable[Choice], data: Mapping[str, Any]) -> AdditiveCost:
        """Restore what `to_json` returned, for the same choices."""
        terms = [Term(tuple((c, o) for c, o in t["picks"]), t["costs"]) for t in data["terms"]]
        return cls(choices, data["rest"], terms)

    def _cheapest_below(self, prefix: Picks, name: str) -> float:
        """Return the least that choices inside an option cost; at the top, all choices inside none."""
        depth = len(prefix)
        inside = {p[depth][0] for p in self._costs if len(p) > depth and p[:depth] == prefix}
        total = 0.0
        for choice in self.choices:
            if choice.name in inside:
                prices = sorted(
                    self._costs.get(path, {}).get(name, 0.0) + self._cheapest_below(path, name)
                    for path in ((*prefix, (choice.name, option)) for option in choice.options)
                )
                total += sum(prices[: choice.sizes[0]])
        return total

    def _price(self, choice: str, option: str, name: str) -> float:
        paths: Sequence[Picks] = [p for p in self._costs if p[-1] == (choice, option)]
        above = {p[: i + 1] for p in self._costs for i, pick in enumerate(p) if pick == (choice, option)}
        own = sum(self._costs[p][name] for p in paths)
        return own + sum(self._cheapest_below(p, name) for p in above)
