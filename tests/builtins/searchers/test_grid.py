from dataclasses import replace
from pathlib import Path

import pytest

from nasforge.constraints import Constraints, ConstraintsConfig
from nasforge.errors import RunError
from nasforge_plugins.searchers.grid.config import GridConfig
from nasforge_plugins.searchers.grid.searcher import Grid
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context

SPACE = ToySpace(digits=2)


def grid(evaluations: int | None = None, limit: float | None = None, base: int = 0) -> Grid:
    context = searcher_context(Table(), space=SPACE)
    # What a toy costs: how often it picks something else than "a", and the base.
    limits = Constraints(
        ConstraintsConfig(max_params=limit), lambda a: {"params": base + sum(p != ("a",) for p in a.values())}
    )
    searcher = Grid(GridConfig(evaluations=evaluations))
    searcher.setup(replace(context, constraints=limits))
    return searcher


def test_the_whole_space_in_order() -> None:
    found = [e.arch for e in run(grid()).history]
    assert found == list(SPACE.enumerate())
    assert len(set(found)) == SPACE.size() == 16


def test_the_first_few() -> None:
    searcher = run(grid(5))
    assert [e.arch for e in searcher.history] == list(SPACE.enumerate())[:5]
    assert searcher.done


def test_more_than_there_are() -> None:
    assert len(run(grid(1000)).history) == 16


def test_what_is_over_a_limit_is_left_out() -> None:
    assert len(run(grid(limit=1)).history) == 7


def test_limits_that_nothing_keeps() -> None:
    with pytest.raises(
        RunError, match=r"16 architectures in a row were rejected by max_params = 1 .*seen so far: 2"
    ):
        grid(limit=1, base=2)


def test_stopping_after_every_step_changes_nothing(tmp_path: Path) -> None:
    assert resumed_after_every_step(grid, tmp_path).history == run(grid()).history
