import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from nasforge.errors import RunError
from nasforge_plugins.evaluators.tabular.config import TabularConfig
from nasforge_plugins.evaluators.tabular.evaluator import Tabular
from nasforge_plugins.searchers.bananas.config import BananasConfig
from nasforge_plugins.searchers.bananas.searcher import Bananas, thompson_order
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context


def bananas(table: Table | None = None, seed: int = 0, **options: Any) -> Bananas:
    searcher = Bananas(
        BananasConfig(**{"evaluations": 60, "initial": 15, "batch": 5, "candidates": 40, **options})
    )
    searcher.setup(searcher_context(table or Table(), seed))
    return searcher


@pytest.mark.parametrize("seed", range(3))
def test_what_it_chooses_is_better_than_what_it_drew(seed: int) -> None:
    searcher = run(bananas(seed=seed))
    drawn = [e.score for e in searcher.history[:15]]
    chosen = [e.score for e in searcher.history[-15:]]
    assert sum(chosen) > sum(drawn)
    assert max(chosen) > max(drawn)


def test_nothing_is_evaluated_twice() -> None:
    table = Table()
    run(bananas(table))
    assert len(table.asked) == len(set(table.asked)) == 60


def test_an_exhausted_space_is_no_trouble() -> None:
    searcher = Bananas(BananasConfig(evaluations=30, initial=4, batch=3))
    searcher.setup(searcher_context(Table(), space=ToySpace(digits=2)))
    run(searcher)
    assert len({e.arch for e in searcher.history}) == 16


@pytest.mark.parametrize("kind", ["forest", "random-forest", "boosting", "gp", "mlp", "bananas"])
def test_stopping_after_every_step_changes_nothing(kind: str, tmp_path: Path) -> None:
    options = {"evaluations": 24, "predictor": kind, "members": 2, "batch": 4}
    whole = run(bananas(**options))
    parts = resumed_after_every_step(lambda: bananas(**options), tmp_path)
    assert parts.history == whole.history
    assert parts.state_dict() == whole.state_dict()


def test_paths_instead_of_options(tmp_path: Path) -> None:
    space = NasBench201(NasBench201Config())

    def over_paths() -> Bananas:
        searcher = Bananas(BananasConfig(evaluations=14, initial=8, batch=3, candidates=10, encoding="path"))
        evaluator = Tabular(TabularConfig())
        evaluator.setup(searcher_context(space=space))
        searcher.setup(searcher_context(evaluator, space=space))
        return searcher

    whole = run(over_paths())
    assert len({e.arch for e in whole.history}) == 14
    assert resumed_after_every_step(over_paths, tmp_path).state_dict() == whole.state_dict()


def test_independent_thompson_sampling_against_the_normal_distribution() -> None:
    """One of two candidates is drawn higher with probability ``Φ((m1 - m2) / sqrt(s1² + s2²))``."""
    rng, mean, deviation = Random(0), np.array([90.0, 90.5, 70.0]), np.array([0.3, 0.4, 0.0])
    orders = [thompson_order(mean, deviation, rng) for _ in range(4000)]
    assert all(order[-1] == 2 for order in orders)
    expected = 0.5 * (1 + math.erf(-0.5 / math.hypot(0.3, 0.4) / math.sqrt(2)))
    # The deviation of 4,000 such draws is .006.
    assert sum(order[0] == 0 for order in orders) / 4000 == pytest.approx(expected, abs=0.025)


def test_a_space_without_paths_is_told_before_anything_is_evaluated() -> None:
    table = Table()
    with pytest.raises(RunError, match="has no paths"):
        bananas(table, encoding="path")
    assert table.asked == []
