from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nasforge.evaluator import Evaluation
from nasforge_plugins.searchers.local_search.config import LocalSearchConfig
from nasforge_plugins.searchers.local_search.searcher import LocalSearch
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context


def local_search(table: Table | None = None, seed: int = 0, **options: Any) -> LocalSearch:
    searcher = LocalSearch(LocalSearchConfig(**{"evaluations": 150, "starts": 3, **options}))
    searcher.setup(searcher_context(table or Table(), seed, ToySpace(digits=5)))
    return searcher


@pytest.mark.parametrize("move", ["first", "best"])
@pytest.mark.parametrize("seed", range(3))
def test_a_climb_only_rises_and_ends_at_a_local_optimum(move: str, seed: int) -> None:
    searcher = local_search(seed=seed, move=move, evaluations=300)
    positions: list[Evaluation | None] = []
    while not (positions and positions[-1] is not None and searcher.position is None):
        positions.append(searcher.position)
        searcher.step()
    climbed = [p for p in positions if p is not None]
    assert climbed[0] == max(searcher.history[:3], key=lambda e: e.score)
    for before, after in pairwise(climbed):
        assert after == before or after.score > before.score
    top = searcher.best()
    known = {e.arch: e.score for e in searcher.history}
    assert all(known[near] <= known[top] for near in searcher.ctx.space.neighbours(top))


def test_after_a_climb_another_one_starts() -> None:
    searcher = local_search(evaluations=300)
    positions = []
    while not searcher.done:
        searcher.step()
        positions.append(searcher.position)
    ends = sum(a is not None and b is None for a, b in pairwise(positions))
    assert ends > 1
    assert Table().score(searcher.best()) == max(e.score for e in searcher.history)


def test_best_moves_look_at_every_neighbour_first() -> None:
    searcher = local_search(move="best", starts=1)
    searcher.step()
    start = searcher.position
    assert start is not None
    near = set(searcher.ctx.space.neighbours(start.arch))
    for _ in range(len(near) - 1):
        searcher.step()
        assert searcher.position == start
    searcher.step()
    assert {e.arch for e in searcher.history[1:]} == near
    best = max(searcher.history, key=lambda e: e.score)
    assert searcher.position in (best, None)


def test_nothing_is_evaluated_twice_and_a_space_can_be_exhausted() -> None:
    table = Table()
    searcher = LocalSearch(LocalSearchConfig(evaluations=40, starts=2))
    searcher.setup(searcher_context(table, space=ToySpace(digits=2)))
    run(searcher)
    assert len(table.asked) == len(set(table.asked)) == 16
    assert Table().score(searcher.best()) == max(e.score for e in searcher.history)


@pytest.mark.parametrize("move", ["first", "best"])
def test_stopping_after_every_step_changes_nothing(move: str, tmp_path: Path) -> None:
    tables = Table(), Table()
    whole = run(local_search(tables[0], evaluations=60, move=move))
    parts = resumed_after_every_step(lambda: local_search(tables[1], evaluations=60, move=move), tmp_path)
    assert parts.history == whole.history
    assert parts.position == whole.position
    assert tables[0].asked == tables[1].asked
