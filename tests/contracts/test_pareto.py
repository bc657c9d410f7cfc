"""Dominance, fronts and crowding."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasforge.arch import Arch
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation
from nasforge.pareto import Objectives, crowding, dominates, fronts, hypervolume

POINTS = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.tuples(*[st.integers(0, 4).map(float)] * n), max_size=25)
)


@given(POINTS)
def test_fronts_sort_everything_by_dominance(points):
    found = fronts(points)
    assert sorted(i for front in found for i in front) == list(range(len(points)))
    for number, front in enumerate(found):
        assert front == sorted(front)
        assert not any(dominates(points[i], points[j]) for i in front for j in front)
        for j in front if number else []:
            assert any(dominates(points[i], points[j]) for i in found[number - 1])


@given(POINTS)
def test_the_pareto_set_is_the_first_front_without_repetitions(points):
    evaluations = [
        Evaluation(Arch({"a": str(i)}), p[0], metrics={f"m{k}": v for k, v in enumerate(p)})
        for i, p in enumerate(points)
    ]
    objectives = Objectives([f"m{k}" for k in range(len(points[0]))] if points else ["score"])
    front = [objectives.extract(e) for e in objectives.front(evaluations)]
    first = fronts(points)[0] if points else []
    assert sorted(front) == sorted({points[i] for i in first})


def test_a_minus_makes_small_numbers_good():
    evaluation = Evaluation(Arch({"a": "x"}), 3.0, metrics={"macs": 7.0})
    assert Objectives(["score", "-macs", "-score"]).extract(evaluation) == (3.0, -7.0, -3.0)


def test_crowding_by_hand():
    # Ends are infinite; the middle has (3 - 0) / 3 of the first axis and (8 - 2) / 8 of the second.
    distance = crowding([(0.0, 8.0), (1.0, 4.0), (3.0, 2.0), (2.0, 0.0)])
    assert distance[0] == distance[2] == distance[3] == float("inf")
    assert distance[1] == pytest.approx((2.0 - 0.0) / 3 + (8.0 - 2.0) / 8)
    assert crowding([(1.0, 1.0)] * 4)[1] == 0.0
    assert crowding([]) == []


def test_hypervolume_equals_counted_squares():
    rng = Random(0)
    for _ in range(200):
        points = [(rng.randrange(12), rng.randrange(12)) for _ in range(rng.randrange(1, 9))]
        low = (rng.randrange(4), rng.randrange(4))
        squares = sum(
            any(x > a and y > b for x, y in points) for a in range(low[0], 12) for b in range(low[1], 12)
        )
        assert hypervolume([tuple(map(float, p)) for p in points], tuple(map(float, low))) == squares


def test_hypervolume_of_evaluations():
    def made(score, ms):
        return Evaluation(Arch({"a": "x"}), score, metrics={"ms": ms})

    objectives = Objectives(["score", "-ms"])
    worked = [made(90.0, 4.0), made(80.0, 1.0), made(50.0, 0.5)]
    assert objectives.hypervolume(worked, [70, 5]) == 20 * 1 + 10 * 3
    failed = Evaluation(Arch({"a": "x"}), float("-inf"), failed="it burns")
    assert objectives.hypervolume([*worked, failed], [70, 5]) == 50
    with pytest.raises(RunError, match="two objectives"):
        Objectives(["score"]).hypervolume(worked, [70])
