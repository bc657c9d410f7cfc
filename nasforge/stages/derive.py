"""The derive stage: describes the found architecture."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.plugins.capabilities import KnownBaseline
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import GRAPHS, inputs_of
from nasforge.runs.network import ARCHITECTURE
from nasforge.runs.scope import DERIVE, SEARCH
from nasforge.runs.stored import Architecture, StageResult
from nasforge.space import NetworkSpace
from nasforge.stages.stage import Stage

if TYPE_CHECKING:
    from nasforge.stages.runner import Run

__all__ = ["Derive"]


class DeriveResult(StageResult, Architecture):
    """The entries that are read from the description of an architecture."""

    looked_up: dict[str, float] | None = None
    baseline: dict[str, Any] | None = None


class Derive(Stage):
    """Writes notation and costs of the found architectures, and the accuracies that a table has for them."""

    scope = DERIVE
    shape = DeriveResult
    compared = True

    def inputs(self, run: Run) -> dict[str, Any]:
        """Return the architecture, and the tables that its description depends on."""
        from nasforge.runs.limits import fingerprint_of

        return {
            "architecture": run.results[SEARCH.stage]["architecture"],
            **inputs_of(run.resolved, "space", "data"),
            **fingerprint_of(run.recipe.constraints),
        }

    def run(self, run: Run, clock: StageClock) -> dict[str, Any]:
        """Describe the best architecture, the Pareto front, and what they are compared with."""
        searched = run.results[SEARCH.stage]
        result = _describe(run, Arch(searched["architecture"]))
        if isinstance(run.space, KnownBaseline):
            result["baseline"] = _describe(run, run.space.baseline)
        front = [_describe(run, Arch(arch)) for arch in searched["front"]]
        run.folder.store_file(self.name, ARCHITECTURE, result)
        run.folder.store_file(self.name, "front.json", {"front": front})
        best, *rest = [_graphs(run, Arch(arch)) for arch in (searched["architecture"], *searched["front"])]
        run.folder.store_file(self.name, GRAPHS, {"best": best, "front": rest})
        return result

    def numbers(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return costs, and accuracies from a table."""
        return {**result.get("looked_up", {}), **result}


def _graphs(run: Run, arch: Arch) -> list[dict[str, Any]]:
    """Return the drawing of an architecture as JSON data; a drawing that fails costs no run."""
    try:
        return [asdict(graph) for graph in run.space.graphs(arch)]
    except Exception as error:
        warnings.warn(f"space: the architecture cannot be drawn: {error!r}", stacklevel=2)
        return []


def _describe(run: Run, arch: Arch) -> dict[str, Any]:
    described: dict[str, Any] = {
        "architecture": arch.to_json(),
        "key": arch.key,
        "notation": run.space.notation(arch),
    }
    if isinstance(run.space, NetworkSpace):
        described |= run.constraints.cost(arch)
        described["task"] = asdict(run.task)
    if excess := run.constraints.find_violations(arch):
        described["over_limit"] = excess
    if looked_up := run.space.lookup(arch, test=True):
        described["looked_up"] = dict(looked_up)
    return described
