"""Limits on the cost of architectures: what a search may propose, and by how much a result misses one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PositiveFloat, model_validator

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import RunError, suggest

if TYPE_CHECKING:
    from nasforge.cost.additive import AdditiveCost

__all__ = ["COSTS", "MEASURED", "Constraints", "ConstraintsConfig"]

COSTS = ("params", "macs", "memory", "latency_ms")
"""Costs of an architecture. Searchers ask for them by these names, as objectives for example."""

UNITS = {"params": "parameters", "macs": "MACs", "memory": "MiB", "latency_ms": "ms"}
"""Units of the costs, for messages."""

MEASURED = "measured"
"""The source of latencies that measures each network itself."""


class ConstraintsConfig(PluginConfig):
    """Options of the ``[constraints]`` table: what an architecture may cost at most.

    Black-box searchers reject proposals over a limit before they are evaluated. Of other searches the derive
    stage reports by how much their result misses a limit.
    """

    max_params: PositiveFloat | None = None
    """The most parameters the final network may have, such as 3e6; None for no limit."""

    max_macs: PositiveFloat | None = None
    """The most multiply-accumulate operations the final network may need for one image, such as 100e6; None
    for no limit."""

    max_memory: PositiveFloat | None = None
    """The most memory the final network may need for one image, in MiB: weights, buffers, and the largest
    sum of feature maps that live at a time; None for no limit."""

    max_latency_ms: PositiveFloat | None = None
    """The most milliseconds the final network may take, by the option latency; None for no limit."""

    latency: Annotated[str, Field(min_length=1)] | None = None
    """Where latencies come from: name or path (.json) of a table that 'nasforge latency build' measured, or
    "measured", which times each network on the run's device. Only a table gives the same search twice."""

    max_metrics: dict[str, float] = Field(default_factory=dict)
    """The most that other metrics of the evaluator may be, by name, such as energy_mj = 3.5. The evaluator
    must know them before an evaluation, as a table does."""

    @model_validator(mode="after")
    def _latency_has_a_source(self) -> ConstraintsConfig:
        if self.max_latency_ms is not None and self.latency is None:
            raise ValueError(
                f"max_latency_ms = {self.max_latency_ms:g} needs a source: set latency to a table that "
                "'nasforge latency build RECIPE' measured, or to \"measured\""
            )
        if twice := sorted(
            name for name in self.max_metrics if getattr(self, f"max_{name}", None) is not None
        ):
            raise ValueError(
                f"max_{twice[0]} and max_metrics.{twice[0]} limit the same number: leave one out"
            )
        return self

    def limits(self) -> dict[str, float]:
        """Return the limits that are set, by the name of the cost (see `COSTS`) or metric."""
        limits = {name: getattr(self, f"max_{name}") for name in COSTS}
        return {name: limit for name, limit in limits.items() if limit is not None} | self.max_metrics

    def to_json(self) -> dict[str, Any]:
        """Return the options that are set."""
        return {k: v for k, v in self.model_dump(mode="json", exclude_none=True).items() if v != {}}


class Constraints:
    """Tells whether architectures keep the limits of a recipe. Costs are measured once per architecture.

    Args:
        config: The limits; none by default.
        measure: Returns costs of an architecture by name; needed if there is a limit on one of them.
        more: Functions that return further costs, by name: slow ones, called only when they are asked for.
        itemize: Returns what every option costs by itself, for costs that add up.
        known: Returns the metrics of an architecture that the evaluator knows without evaluating it, or None
            if it cannot evaluate it. Such an architecture is not allowed.
    """

    def __init__(
        self,
        config: ConstraintsConfig | None = None,
        measure: Callable[[Arch], Mapping[str, float]] | None = None,
        more: Mapping[str, Callable[[Arch], float]] | None = None,
        itemize: Callable[[str], AdditiveCost] | None = None,
        known: Callable[[Arch], Mapping[str, float] | None] | None = None,
    ) -> None:
        config = config or ConstraintsConfig()
        self.limits = config.limits()
        self._metrics = frozenset(config.max_metrics)
        self._known = known
        self._measure, self._more, self._itemize = measure, dict(more or {}), itemize
        self._asked = {*self.limits, *(() if config.latency is None else ("latency_ms",))}
        self._costs: dict[Arch, Mapping[str, float]] = {}
        self._values: dict[str, dict[Arch, float]] = {name: {} for name in self._more}

    @property
    def asked(self) -> frozenset[str]:
        """Names of the costs that the recipe speaks of."""
        return frozenset(self._asked)

    def cost(self, arch: Arch) -> Mapping[str, float]:
        """Return what an architecture costs by name, whether there is a limit on it or not.

        Latency and memory are among it if the recipe speaks of them.

        Raises:
            RunError: The cost is unknown.
        """
        further = {name: self.value(arch, name) for name in COSTS if name in self._asked & {*self._more}}
        return {**self._quick(arch), **further}

    def value(self, arch: Arch, name: str) -> float:
        """Return one cost of an architecture.

        Args:
            arch: The architecture.
            name: See `COSTS`, or a metric that is limited. A metric that is not known is infinite.

        Raises:
            RunError: The cost is unknown.
        """
        if name in self._metrics:
            return self._metric(arch, name)
        if name in self._more:
            known = self._values[name]
            if arch not in known:
                known[arch] = self._more[name](arch)
            return known[arch]
        if name == "latency_ms":
            raise RunError(
                "constraints.latency: is not set, so 'latency_ms' of an architecture is unknown. Name a "
                "table that 'nasforge latency build RECIPE' measured, or write \"measured\"."
            )
        cost = self._quick(arch)
        if name not in cost:
            raise RunError(
                f"constraints.max_{name}: the space does not tell {name!r} of its architectures."
                f"{suggest('', cost)} Leave the limit out, or give the space a method cost()."
            )
        return cost[name]

    def add_costs(self, arch: Arch, metrics: Mapping[str, float], costs: Iterable[str]) -> dict[str, float]:
        """Return metrics with the costs that they lack; those that the recipe speaks of replace theirs.

        Args:
            arch: The architecture.
            metrics: What an evaluator reported of it.
            costs: Names of the costs that are wanted besides.

        Raises:
            RunError: See `value`.
        """
        wanted = sorted({*costs} - metrics.keys() | self.asked)
        return {**metrics, **{name: self.value(arch, name) for name in wanted}}

    def find_violations(self, arch: Arch) -> dict[str, float]:
        """Return by how much an architecture is over each limit; empty if it keeps them all.

        Raises:
            RunError: There is a limit on something that the space cannot tell of its architectures.
        """
        over = {name: float(self.value(arch, name) - limit) for name, limit in self.limits.items()}
        return {name: much for name, much in over.items() if much > 0}

    def allow(self, arch: Arch) -> bool:
        """Return whether an architecture can be evaluated and keeps all limits.

        Raises:
            RunError: See `find_violations`.
        """
        if self._known is not None and self._known(arch) is None:
            return False
        return all(self.value(arch, name) <= limit for name, limit in self.limits.items())

    def itemize(self, name: str) -> AdditiveCost:
        """Return what every option of every choice costs by itself.

        Args:
            name: See `COSTS`; memory does not add up.

        Raises:
            RunError: The cost is unknown.
        """
        if self._itemize is None:
            raise RunError(f"constraints: nothing here can tell {name!r} of a single option.")
        return self._itemize(name)

    def infeasible_error(self, draws: int) -> RunError:
        """Return the error for a search that was stopped because nothing it drew keeps the limits.

        Args:
            draws: How many architectures were rejected in a row.
        """
        if not self.limits:
            return RunError(
                f"search: the evaluator knows none of {draws:,} architectures in a row. Give it a table that "
                "holds more of the space, or choose a smaller space."
            )
        unknown = " or unknown to the evaluator" if self._known is not None else ""
        return RunError(
            f"constraints: {draws:,} architectures in a row were rejected by {self.describe()}{unknown}. "
            "Raise the limits, or choose a space with smaller networks."
        )

    def describe(self) -> str:
        """Return the limits in words, each with the smallest cost that was seen."""
        words = []
        for name, limit in self.limits.items():
            seen = [value for value in self._values.get(name, {}).values() if value < math.inf]
            if name not in self._metrics:
                seen += [cost[name] for cost in self._costs.values() if name in cost]
            least = f" (the smallest seen so far: {in_unit(name, min(seen))})" if seen else ""
            option = f"max_metrics.{name}" if name in self._metrics else f"max_{name}"
            words.append(f"{option} = {in_unit(name, limit)}{least}")
        return " and ".join(words)

    def _metric(self, arch: Arch, name: str) -> float:
        values = self._values.setdefault(name, {})
        if arch not in values:
            if self._known is None:
                raise RunError(
                    f"constraints.max_metrics.{name}: the evaluator knows no metrics before an evaluation. "
                    "Leave the limit out, or use an evaluator that does, such as a table."
                )
            metrics = self._known(arch) or {}
            values[arch] = float(metrics.get(name, math.inf))
        return values[arch]

    def _quick(self, arch: Arch) -> Mapping[str, float]:
        if arch not in self._costs:
            if self._measure is None:
                raise RunError("constraints: nothing here can measure the cost of an architecture.")
            self._costs[arch] = self._measure(arch)
        return self._costs[arch]


def in_unit(name: str, value: float) -> str:
    """Write a cost with its unit.

    Args:
        name: See `COSTS`.
        value: The cost.
    """
    return f"{number(value)} {UNITS.get(name, '')}".rstrip()


def number(value: float) -> str:
    """Write a cost so that people can read it: counts in full, milliseconds with three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
