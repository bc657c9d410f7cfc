"""Limits on the cost of architectures: what a search may propose, and by how much a result misses one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PositiveFloat

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import RunError, suggest

__all__ = ["Constraints", "ConstraintsConfig"]


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

    def limits(self) -> dict[str, float]:
        """Return the limits that are set, by the name of the cost: ``params``, ``macs``."""
        return {n.removeprefix("max_"): v for n, v in self.model_dump().items() if v is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the limits that are set."""
        return self.model_dump(mode="json", exclude_none=True)


class Constraints:
    """Tells whether architectures keep the limits of a recipe. Costs are measured once per architecture.

    Args:
        config: The limits; none by default.
        measure: Returns costs of an architecture by name; needed if there is a limit.
    """

    def __init__(
        self,
        config: ConstraintsConfig | None = None,
        measure: Callable[[Arch], Mapping[str, float]] | None = None,
    ) -> None:
        self.limits = (config or ConstraintsConfig()).limits()
        self._measure = measure
        self._costs: dict[Arch, Mapping[str, float]] = {}

    def cost(self, arch: Arch) -> Mapping[str, float]:
        """Return what an architecture costs, by name, whether there is a limit on it or not.

        Raises:
            RunError: Nobody can tell.
        """
        if arch not in self._costs:
            if self._measure is None:
                raise RunError("constraints: nothing here can measure the cost of an architecture.")
            self._costs[arch] = self._measure(arch)
        return self._costs[arch]

    def excess(self, arch: Arch) -> dict[str, float]:
        """Return by how much an architecture is over each limit; empty if it keeps them all.

        Raises:
            RunError: There is a limit on something that the space cannot tell of its architectures.
        """
        if not self.limits:
            return {}
        cost = self.cost(arch)
        for name in self.limits:
            if name not in cost:
                raise RunError(
                    f"constraints.max_{name}: the space does not tell {name!r} of its architectures."
                    f"{suggest('', cost)} Leave the limit out, or give the space a method cost()."
                )
        return {n: float(cost[n] - limit) for n, limit in self.limits.items() if cost[n] > limit}

    def allow(self, arch: Arch) -> bool:
        """Return whether an architecture keeps all limits."""
        return not self.excess(arch)

    def impossible(self, draws: int) -> RunError:
        """Return the error for a search that was stopped because nothing it drew keeps the limits.

        Args:
            draws: How many architectures were rejected in a row.
        """
        seen = [
            f"max_{name} = {limit:,.0f} (the smallest seen so far: "
            f"{min((cost[name] for cost in self._costs.values()), default=float('nan')):,.0f})"
            for name, limit in self.limits.items()
        ]
        return RunError(
            f"constraints: {draws:,} architectures in a row were rejected by {' and '.join(seen)}. "
            "Raise the limits, or choose a space with smaller networks."
        )
