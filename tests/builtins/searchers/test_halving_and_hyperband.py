from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nasforge.arch import Arch
from nasforge.benches.meter import BudgetMeter
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation
from nasforge.parallel.failures import Tolerant
from nasforge.recipe.budget import Budget
from nasforge_plugins.searchers.hyperband.config import HyperbandConfig
from nasforge_plugins.searchers.hyperband.searcher import Hyperband
from nasforge_plugins.searchers.successive_halving.config import SuccessiveHalvingConfig
from nasforge_plugins.searchers.successive_halving.searcher import SuccessiveHalving
from support.toy_table import Table, resumed_after_every_step, run, searcher_context


class Growing(Table):
    """A score that grows with the budget, at a cost of as many seconds."""

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        assert budget is not None
        self.asked.append(arch)
        return Evaluation(arch, self.score(arch) - 100 / budget, float(budget))


def halving(table: Table | None = None, **options: Any) -> SuccessiveHalving:
    given = {"first": 9, "eta": 3.0, "budgets": (2, 6, 18), "evaluations": 26, **options}
    searcher = SuccessiveHalving(SuccessiveHalvingConfig(**given))
    searcher.setup(searcher_context(table or Growing()))
    return searcher


def hyperband(**options: Any) -> Hyperband:
    searcher = Hyperband(HyperbandConfig(**{"budgets": (1, 3, 9, 27, 81), "evaluations": 300, **options}))
    searcher.setup(searcher_context(Growing()))
    return searcher


def test_the_best_of_a_rung_go_on() -> None:
    searcher = run(halving())
    for start in (0, 13):
        rungs = [searcher.history[start + a : start + b] for a, b in ((0, 9), (9, 12), (12, 13))]
        for budget, rung in zip((2, 6, 18), rungs, strict=True):
            assert {e.budget for e in rung} == {budget}
        for low, high in pairwise(rungs):
            ranked = sorted(low, key=lambda e: -e.score)
            assert [e.arch for e in high] == [e.arch for e in ranked[: len(high)]]
    firsts = [e.arch for e in searcher.history if e.budget == 2]
    assert len(set(firsts)) == 18


def test_the_result_is_the_best_of_the_largest_budget_so_far() -> None:
    searcher = halving()
    for step in range(1, 14):
        metrics = searcher.step()
        largest = max(e.budget or 0 for e in searcher.history)
        rung = [e for e in searcher.history if e.budget == largest]
        assert searcher.best() == max(rung, key=lambda e: e.score).arch, step
        assert metrics["best_score"] == max(e.score for e in rung)


def test_hyperband_has_the_brackets_of_the_paper() -> None:
    # Li et al., JMLR 2018, table 1: R = 81, eta = 3.
    published = [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    searcher = hyperband()
    assert [list(searcher.rungs(number)) for number in range(5)] == published
    assert searcher.rungs(5) == searcher.rungs(0)


def test_hyperband_plays_them_in_turn() -> None:
    searcher = run(hyperband(budgets=(2, 6), evaluations=12))
    assert [e.budget for e in searcher.history] == [2, 2, 2, 6, 6, 6, 2, 2, 2, 6, 6, 6]


def test_uneven_budgets_keep_what_the_ratio_says() -> None:
    assert hyperband(budgets=(12, 200)).rungs(0) == ((17, 12), (1, 200))
    assert hyperband(budgets=(12, 200)).rungs(1) == ((2, 200),)


@pytest.mark.parametrize("make", [halving, lambda: hyperband(budgets=(2, 6), evaluations=20)])
def test_stopping_after_every_step_changes_nothing(make: Any, tmp_path: Path) -> None:
    whole, parts = run(make()), resumed_after_every_step(make, tmp_path)
    assert parts.history == whole.history
    assert parts.best() == whole.best()


@pytest.mark.parametrize("budgets", [(5,), (5, 5), (9, 3), (0, 3)])
def test_budgets_that_cannot_be(budgets: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        HyperbandConfig(budgets=budgets)


class Short(Growing):
    """Takes budgets up to 20."""

    def check_budget(self, budget: int) -> None:
        if budget > 20:
            raise RunError(f"no {budget}")


@pytest.mark.parametrize("wrap", [lambda e: e, Tolerant, lambda e: BudgetMeter(e, Budget(9, "evaluations"))])
def test_a_budget_that_the_evaluator_cannot_take_is_refused_before_anything_is_evaluated(wrap: Any) -> None:
    table = Short()
    table.setup(searcher_context())
    assert halving(wrap(table), budgets=(2, 20)).history == []
    with pytest.raises(RunError, match="no 54"):
        halving(wrap(table), budgets=(2, 18, 54))
    assert not table.asked
