"""Multi-objective comparison: dominance, non-dominated sorting, crowding distance."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge.constraints import COSTS
from nasforge.errors import RunError, suggest
from nasforge.evaluator import Evaluation

__all__ = ["Objectives", "crowding", "dominates", "fronts", "hypervolume"]

Values = tuple[float, ...]


class Objectives:
    """Reads several numbers from an evaluation, each so that higher is better.

    Args:
        names: ``"score"``, or a metric's name; a leading ``-`` means that lower is better: ``"-macs"``.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives that are costs of a network, without their sign: every searcher can tell them."""
        return tuple(n for n in (name.removeprefix("-") for name in self.names) if n in COSTS)

    def extract(self, evaluation: Evaluation) -> Values:
        """Return one number per objective.

        Raises:
            RunError: The evaluator reports no metric of that name.
        """
        known = {**evaluation.metrics, "score": evaluation.score}
        values = []
        for name in self.names:
            metric = name.removeprefix("-")
            if metric not in known:
                raise RunError(
                    f"searcher.objectives: {name!r}: the evaluator reports no {metric!r}."
                    f"{suggest(metric, known)}"
                )
            values.append(-known[metric] if name.startswith("-") else known[metric])
        return tuple(values)

    def front(self, evaluations: Sequence[Evaluation]) -> tuple[Evaluation, ...]:
        """Return the Pareto set: those that no other dominates, best in the first objective first.

        Of evaluations with equal values, the earliest stands for all.
        """
        found: dict[Values, Evaluation] = {}
        for evaluation in evaluations:
            found.setdefault(self.extract(evaluation), evaluation)
        values = [v for v in found if not any(dominates(other, v) for other in found)]
        return tuple(found[v] for v in sorted(values, reverse=True))

    def hypervolume(self, evaluations: Sequence[Evaluation], reference: Sequence[float]) -> float:
        """Return the area that evaluations dominate, up to a reference point: exact, for two objectives.

        Args:
            evaluations: Any evaluations; those worse than the reference in an objective add nothing.
            reference: The worst values that count, without the signs of the objectives.

        Raises:
            RunError: There are not two objectives, or the evaluator does not report one.
        """
        if len(self.names) != 2 or len(reference) != 2:
            raise RunError("hypervolume: is computed for two objectives. Name two, and two reference values.")
        signs = [-1.0 if name.startswith("-") else 1.0 for name in self.names]
        worst = tuple(sign * value for sign, value in zip(signs, reference, strict=True))
        return hypervolume([self.extract(e) for e in evaluations if not e.failed], worst)


def hypervolume(values: Sequence[Values], reference: Values) -> float:
    """Return the area between points and a reference point (Zitzler and Thiele, PPSN 1998), exactly.

    Points are swept from the best first objective down; each adds the strip by which it is better in the
    second one than all before.

    Args:
        values: Points of two objectives; higher is better.
        reference: The worst point that counts.
    """
    area, height = 0.0, reference[1]
    for first, second in sorted(values, reverse=True):
        if first > reference[0] and second > height:
            area += (first - reference[0]) * (second - height)
            height = second
    return area


def dominates(a: Values, b: Values) -> bool:
    """Return whether ``a`` is nowhere worse than ``b`` and somewhere better."""
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def fronts(values: Sequence[Values]) -> list[list[int]]:
    """Sort by dominance (Deb et al., IEEE TEC 6(2), 2002, section III-A: fast non-dominated sort).

    Args:
        values: One tuple per candidate; higher is better.

    Returns:
        Indices by front: members of the first one are not dominated, only members of the first dominate those
        of the second, and so on. Indices ascend within a front.
    """
    below: list[list[int]] = [[] for _ in values]
    above = [0] * len(values)
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            if dominates(a, b):
                below[i].append(j)
                above[j] += 1
    found = []
    front = [i for i, count in enumerate(above) if count == 0]
    while front:
        found.append(front)
        following = []
        for i in front:
            for j in below[i]:
                above[j] -= 1
                if above[j] == 0:
                    following.append(j)
        front = sorted(following)
    return found


def crowding(values: Sequence[Values]) -> list[float]:
    """Return how far each member of a front is from its neighbours (Deb et al., 2002, section III-B).

    Args:
        values: One tuple per member.

    Returns:
        The sum over objectives of the distance between the neighbours on both sides, each objective scaled to
        its range in the front; infinity for members at an end.
    """
    distance = [0.0] * len(values)
    for objective in range(len(values[0]) if values else 0):
        order = sorted(range(len(values)), key=lambda i: values[i][objective])
        low, high = values[order[0]][objective], values[order[-1]][objective]
        distance[order[0]] = distance[order[-1]] = float("inf")
        if high > low:
            for before, i, after in zip(order, order[1:], order[2:], strict=False):
                distance[i] += (values[after][objective] - values[before][objective]) / (high - low)
    return distance
