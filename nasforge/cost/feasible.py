"""Feasibility of the limits of a recipe: by bounds where costs add up, by sampling elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import Any

from nasforge.arch import Arch
from nasforge.constraints import Constraints, in_unit
from nasforge.cost.additive import AdditiveCost
from nasforge.errors import RunError
from nasforge.searcher import DRAWS
from nasforge.seeding import derive_seed
from nasforge.space import SearchSpace, Task

__all__ = ["Infeasible", "check_feasible"]

QUICK = 5
"""Draws before anything is added up: most limits are kept by one of so few."""


@dataclass(frozen=True)
class Infeasible:
    """Limits for which no architecture was found.

    Attributes:
        problem: A sentence for the user.
        certain: Whether none exists; else none was found by sampling.
    """

    problem: str
    certain: bool


def check_feasible(
    constraints: Constraints,
    space: SearchSpace[Any],
    task: Task,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    seconds: float = 20.0,
) -> Infeasible | None:
    """Look for an architecture that keeps all limits.

    First a few random ones. If none keeps them, the cheapest option of every choice bounds what an
    architecture costs at least, for costs that add up and are known; the cheapest architectures by each cost
    are tried, then random ones.

    Args:
        constraints: The limits, with the costs they name.
        space: The space.
        task: Input and output sizes, for the message.
        seed: Draws the architectures.
        draws: Number of random architectures that are tried.
        seconds: No new one is tried after so long.

    Returns:
        None if there is one; else why not.

    Raises:
        RunError: There is a limit on a cost that is unknown.
    """
    if not constraints.limits:
        return None
    rng = Random(derive_seed(seed, "feasible"))
    started = time.monotonic()
    if any(constraints.allow(_sample(space, rng)) for _ in range(QUICK)):
        return None
    known = _additive(constraints, space, rng)
    for name, cost in known.items():
        if (least := cost.bound(name)) > constraints.limits[name] * (1 + 1e-9):
            return Infeasible(
                f"constraints.max_{name}: no architecture of this space can keep "
                f"{in_unit(name, constraints.limits[name])} with images of {task.image_size} pixels and "
                f"{task.num_classes} classes: the cheapest options add up to {in_unit(name, least)}. Raise "
                "the limit, or choose a space with smaller networks.",
                certain=True,
            )
    cheapest = [space.discretize(cost.preferences(name)) for name, cost in known.items()]
    if any(constraints.allow(arch) for arch in cheapest):
        return None
    tried = QUICK
    while tried < draws and time.monotonic() - started < seconds:
        arch = _sample(space, rng)
        tried += 1
        # What adds up is told at once; only who keeps that is measured.
        if all(c.of(arch)[n] <= constraints.limits[n] for n, c in known.items()) and constraints.allow(arch):
            return None
    also = f", nor the cheapest by {' or '.join(known)}," if known else ""
    return Infeasible(
        f"constraints: none of {tried:,} random architectures{also} keeps {constraints.describe()}. "
        "This is by sampling: a few may exist. Raise the limits, or choose a space with smaller networks.",
        certain=False,
    )


def _additive(constraints: Constraints, space: SearchSpace[Any], rng: Random) -> dict[str, AdditiveCost]:
    """Return the costs that provably add up: those whose sums are right for some architectures."""
    known = {}
    for name in constraints.limits:
        try:
            cost = constraints.itemize(name)
        except RunError:
            continue
        tests = [_sample(space, rng), space.discretize(cost.preferences(name))]
        if all(
            abs(cost.of(a)[name] - constraints.value(a, name)) <= 1e-6 * abs(cost.of(a)[name]) for a in tests
        ):
            known[name] = cost
    return known


def _sample(space: SearchSpace[Any], rng: Random) -> Arch:
    return space.canonical(space.sample(rng))
