"""Costs that add up: what every option of every choice costs by itself, and what is always there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nasforge.arch import Arch, Choice

__all__ = ["AdditiveCost", "Picks", "Term"]

Picks = tuple[tuple[str, str], ...]
"""Choices and the options they must take, outermost first."""


@dataclass(frozen=True, slots=True)
class Term:
    """A cost that is paid if some choices take some options.

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
        rest: Cost of every architecture, by name of the cost.
        terms: Costs in addition. Terms of equal ``picks`` are added up; an option without a term is free.
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
        self._order = {picks: place for place, picks in enumerate(self._costs)}
        self._index()

    def _index(self) -> None:
        """Sort the terms by what they are looked up by: large spaces have thousands."""
        order = {choice.name: place for place, choice in enumerate(self.choices)}
        inside: dict[Picks, dict[str, None]] = {}
        self._beginning: dict[tuple[str, str], list[Picks]] = {}
        self._ending: dict[tuple[str, str], list[Picks]] = {}
        self._prefixes: dict[tuple[str, str], dict[Picks, None]] = {}
        for picks in self._costs:
            if picks:
                self._beginning.setdefault(picks[0], []).append(picks)
                self._ending.setdefault(picks[-1], []).append(picks)
            for depth, pick in enumerate(picks):
                inside.setdefault(picks[:depth], {})[pick[0]] = None
                self._prefixes.setdefault(pick, {})[picks[: depth + 1]] = None
        self._inside = {
            prefix: [self.choices[place] for place in sorted(order[n] for n in names if n in order)]
            for prefix, names in inside.items()
        }

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, one for every combination of picks."""
        return tuple(Term(picks, costs) for picks, costs in self._costs.items())

    def of(self, arch: Arch) -> dict[str, float]:
        """Return what an architecture costs, by name."""
        total = dict(self.rest)
        paid = [
            picks
            for choice, options in arch.items()
            for option in options
            for picks in self._beginning.get((choice, option), ())
            if all(inner in arch[name] for name, inner in picks[1:])
        ]
        always = [()] if () in self._costs else []
        # Floating-point sums depend on the order of the terms.
        for picks in sorted([*always, *paid], key=self._order.__getitem__):
            for name in total:
                total[name] += self._costs[picks][name]
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
        total = 0.0
        for choice in self._inside.get(prefix, ()):
            prices = sorted(
                self._costs.get(path, {}).get(name, 0.0) + self._cheapest_below(path, name)
                for path in ((*prefix, (choice.name, option)) for option in choice.options)
            )
            total += sum(prices[: choice.sizes[0]])
        return total

    def _price(self, choice: str, option: str, name: str) -> float:
        own = sum(self._costs[path][name] for path in self._ending.get((choice, option), ()))
        return own + sum(
            self._cheapest_below(path, name) for path in self._prefixes.get((choice, option), ())
        )
