from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasforge.arch import Arch, Choice
from nasforge_plugins.searchers.bananas.config import BananasConfig
from nasforge_plugins.searchers.bananas.predictors import Ensemble, encode
from nasforge_plugins.searchers.bananas.searcher import Bananas
from toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context


def bananas(table: Table | None = None, seed: int = 0, **options: Any) -> Bananas:
    searcher = Bananas(
        BananasConfig(**{"evaluations": 60, "initial": 15, "batch": 5, "candidates": 40, **options})
    )
    searcher.setup(searcher_context(table or Table(), seed))
    return searcher


def test_every_option_has_a_number_in_the_encoding() -> None:
    choices = (Choice("a", ("x", "y", "z"), k=2), Choice("b", ("x", "y")))
    archs = [Arch({"a": ("z", "x"), "b": "y"}), Arch({"a": ("x", "y"), "b": "x"})]
    assert encode(choices, archs).tolist() == [[1, 0, 1, 0, 1], [1, 1, 0, 1, 0]]


@pytest.mark.parametrize("kind", ["forest", "mlp"])
def test_the_ensemble_ranks_what_it_has_not_seen(kind: Any) -> None:
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, (150, 12)).astype(float)
    scores = 90 + features @ np.arange(12)
    ensemble = Ensemble(kind, [1, 2, 3])
    ensemble.fit(features[:100], scores[:100])
    mean, deviation = ensemble.predict(features[100:])
    assert np.corrcoef(mean, scores[100:])[0, 1] > 0.7
    assert abs(mean.mean() - scores[100:].mean()) < 5
    assert (deviation > 0).any()
    again = Ensemble(kind, [1, 2, 3])
    again.fit(features[:100], scores[:100])
    assert np.array_equal(again.predict(features[100:])[0], mean)


def test_equal_scores_are_no_trouble() -> None:
    ensemble = Ensemble("forest", [1, 2])
    ensemble.fit(np.eye(3), np.full(3, 7.0))
    assert ensemble.predict(np.eye(3))[0].tolist() == [7.0, 7.0, 7.0]


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


@pytest.mark.parametrize("kind", ["forest", "mlp"])
def test_stopping_after_every_step_changes_nothing(kind: str, tmp_path: Path) -> None:
    options = {"evaluations": 24, "predictor": kind, "members": 2, "batch": 4}
    whole = run(bananas(**options))
    parts = resumed_after_every_step(lambda: bananas(**options), tmp_path)
    assert parts.history == whole.history
    assert parts.state_dict() == whole.state_dict()
