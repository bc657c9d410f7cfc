"""Budgets as points on one learning curve: a larger one goes on where a smaller one ended."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nasforge.config import PluginConfig
from nasforge.errors import RecipeError
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.evaluator import Trainer
from nasforge_plugins.searchers.successive_halving.config import SuccessiveHalvingConfig
from nasforge_plugins.searchers.successive_halving.searcher import SuccessiveHalving
from support.tiny_training import ARCH, AuxiliarySpace, Interrupted, TinyData, context
from support.toy_table import run, searcher_context

OPTIONS: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 8,
    "lr": 0.1,
    "drop_path": 0.5,
    "auxiliary_weight": 0.4,
    "cutout": 3,
    "budgets": "continue",
}


def trainer(folder: Path, data: TinyData | None = None, **options: Any) -> Trainer:
    train = Trainer(TrainConfig(**{**OPTIONS, **options}))
    train.setup(context(folder, data or TinyData(), "search", space=AuxiliarySpace(PluginConfig())))
    return train


def weights(train: Trainer) -> dict[str, Tensor]:
    state = train.ctx.slot(ARCH.key).load()
    assert state is not None
    found: dict[str, Tensor] = state["training"]["network"]
    return found


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("budgets", [(1, 4), (2, 3, 4), (1, 2, 3, 4)])
def test_going_on_ends_in_the_same_bits_as_never_stopping(
    budgets: tuple[int, ...], optimizer: str, tmp_path: Path
) -> None:
    whole = trainer(tmp_path / "whole", optimizer=optimizer).evaluate(ARCH)
    for budget in budgets:
        torch.manual_seed(budget)  # a new process starts with another generator
        data = TinyData()
        found = trainer(tmp_path / "parts", data, optimizer=optimizer).evaluate(ARCH, budget=budget)
        assert found.metrics["epochs"] == budget
    assert data.read.count("weights") == budgets[-1] - budgets[-2], "finished epochs were repeated"
    assert (found.score, found.metrics) == (whole.score, whole.metrics)


def test_what_a_small_budget_leaves_is_what_a_whole_training_has_then(tmp_path: Path) -> None:
    first, second = trainer(tmp_path / "a"), trainer(tmp_path / "b")
    first.evaluate(ARCH, budget=3)
    second.evaluate(ARCH, budget=1)
    second.evaluate(ARCH, budget=3)
    assert weights(first).keys() == weights(second).keys()
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


def test_a_kill_between_budgets_changes_nothing(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole").evaluate(ARCH, budget=3)
    trainer(tmp_path / "parts").evaluate(ARCH, budget=1)
    with pytest.raises(Interrupted):
        trainer(tmp_path / "parts", TinyData(fail=(2, 2))).evaluate(ARCH, budget=3)
    parts = trainer(tmp_path / "parts").evaluate(ARCH, budget=3)
    assert (parts.score, parts.metrics) == (whole.score, whole.metrics)


def test_smaller_budgets_are_read_off_the_curve_and_paid_once(tmp_path: Path) -> None:
    train = trainer(tmp_path)
    small, large = train.evaluate(ARCH, budget=1), train.evaluate(ARCH, budget=4)
    data = TinyData()
    again = trainer(tmp_path, data)
    assert again.evaluate(ARCH, budget=1) == small
    assert again.evaluate(ARCH, budget=4) == large
    between = again.evaluate(ARCH, budget=2)
    assert not data.read
    assert between.metrics["epochs"] == 2
    assert between.cost == 0.0
    state = train.ctx.slot(ARCH.key).load()
    assert state is not None
    assert small.cost + large.cost == pytest.approx(state["seconds"])
    assert "training" not in state, "nobody goes on from the end"


def test_restarting_has_a_schedule_of_its_own(tmp_path: Path) -> None:
    going_on = trainer(tmp_path / "a").evaluate(ARCH, budget=2)
    anew = trainer(tmp_path / "b", budgets="restart").evaluate(ARCH, budget=2)
    assert going_on.metrics["train_loss"] != anew.metrics["train_loss"]


def test_a_budget_beyond_the_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"evaluator\.epochs: 4, but the searcher asks for a budget of 9"):
        trainer(tmp_path).evaluate(ARCH, budget=9)


def test_successive_halving_trains_no_epoch_twice(tmp_path: Path) -> None:
    data = TinyData()
    train = trainer(tmp_path, data)
    options = SuccessiveHalvingConfig(evaluations=5, first=3, eta=2, budgets=(1, 2, 4))
    searcher = SuccessiveHalving(options)
    searcher.setup(searcher_context(train, space=AuxiliarySpace(PluginConfig())))
    run(searcher)
    budgets = [e.budget for e in searcher.history]
    assert budgets[:4] == [1, 1, 1, 2]
    longest = {
        e.arch: max(f.budget or 0 for f in searcher.history if f.arch == e.arch) for e in searcher.history
    }
    assert data.read.count("weights") == sum(longest.values())
