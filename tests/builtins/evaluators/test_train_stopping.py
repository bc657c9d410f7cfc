"""Early stopping: which epoch wins, what is stored, what is read, and the same bits after a kill."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nasforge.component import Stage
from nasforge.data import Split
from nasforge.errors import AccessError, RecipeError
from nasforge.runs.guard import GuardedData
from nasforge.runs.scope import SEARCH, TEST, TRAIN
from nasforge.training.loops import Scores, score
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.evaluator import Trainer
from nasforge_plugins.evaluators.train.options import StopOptions
from nasforge_plugins.evaluators.train.stopping import EarlyStopping
from support.tiny_training import ARCH, Interrupted, TinyData, context

OPTIONS: dict[str, Any] = {"epochs": 12, "batch_size": 8, "lr": 0.2, "stop": {"patience": 2}}


class HeldOut(TinyData):
    """Held-out images whose labels are half wrong, so that long trainings become worse on them."""

    def __init__(self, fail: tuple[int, int] | None = None) -> None:
        super().__init__(fail=fail)
        self._sizes["holdout"] = 12

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        for images, labels in super().batches(split, epoch=epoch, augment=augment, batch_size=batch_size):
            wrong = torch.arange(len(labels)) % 2
            yield images, (labels + wrong) % 3 if split == "holdout" else labels


def trainer(folder: Path, data: Any, stage: Stage = "train", **options: Any) -> Trainer:
    train = Trainer(TrainConfig(**{**OPTIONS, **options}))
    train.setup(context(folder, data, stage))
    return train


@pytest.mark.parametrize(
    ("losses", "options", "best", "stops"),
    [
        ([3, 2, 1, 2, 3, 0], {"patience": 2}, 3, 5),
        ([3, 2, 1, 2, 0.5, 4, 4, 4], {"patience": 3}, 5, 8),
        ([3, 2.9, 2.8, 2.7], {"patience": 2, "min_gain": 0.15}, 3, None),
        ([3, 2.95, 2.9, 2.85], {"patience": 2, "min_gain": 0.2}, 1, 3),
    ],
)
def test_the_best_epoch_and_the_end(
    losses: list[float], options: dict[str, Any], best: int, stops: int | None
) -> None:
    for metric in ("loss", "accuracy"):
        stopping, ended = EarlyStopping(StopOptions(metric=metric, **options)), None
        for epoch, loss in enumerate(losses, 1):
            stopping.improves(epoch, Scores(loss if metric == "loss" else 1.0, -loss))
            if stopping.over(epoch):
                ended = epoch
                break
        assert (stopping.epoch, ended) == (best, stops)


def test_the_weights_of_the_best_epoch_are_stored_and_tested(tmp_path: Path) -> None:
    data = HeldOut()
    train = trainer(tmp_path, data)
    rows: list[tuple[int, Any]] = []
    object.__setattr__(train.ctx, "record", lambda epoch, values: rows.append((epoch, values)))
    result = train.evaluate(ARCH)
    assert set(data.read) == {"full", "holdout"}
    losses = [values["holdout_loss"] for _, values in rows]
    best = losses.index(min(losses)) + 1
    assert len(losses) == best + 2 < 12, "stopped after two epochs that were no better"
    assert result.metrics["best_epoch"] == best
    assert result.metrics["epochs"] == best + 2
    held = data.batches("holdout", augment=False, batch_size=8)
    again = score(train.network(ARCH), held, train.ctx.runtime)
    assert again.loss == pytest.approx(min(losses), rel=1e-6)
    again_data = HeldOut()
    assert trainer(tmp_path, again_data).evaluate(ARCH) == result
    assert again_data.read == [], "a training that has stopped is not repeated"
    test_data = HeldOut()
    measured = trainer(tmp_path, test_data, "test").test(ARCH)
    assert set(test_data.read) == {"test"}
    assert (measured["best_epoch"], measured["epochs_tested"]) == (best, 1)
    assert measured["accuracy"] == measured["accuracy_best"]


@pytest.mark.parametrize("stop", [(0, 3), (1, 1), (2, 2), (3, 4)])
def test_a_killed_training_ends_in_the_same_bits(tmp_path: Path, stop: tuple[int, int]) -> None:
    options = {"ema": {"decay": 0.5}, "augment": {"mixup": 0.2}, "stop": {"patience": 4}}
    whole = trainer(tmp_path / "whole", HeldOut(), **options)
    expected = whole.evaluate(ARCH)
    assert expected.metrics["epochs"] > stop[0]
    with pytest.raises(Interrupted):
        trainer(tmp_path / "parts", HeldOut(stop), **options).evaluate(ARCH)
    resumed = trainer(tmp_path / "parts", HeldOut(), **options)
    found = resumed.evaluate(ARCH)
    assert (found.score, found.metrics) == (expected.score, expected.metrics)
    weights = whole.network(ARCH).state_dict()
    assert all(torch.equal(weights[n], t) for n, t in resumed.network(ARCH).state_dict().items())


def test_only_the_train_stage_reads_held_out_images() -> None:
    data = HeldOut()
    assert len(list(GuardedData(data, TRAIN, "train").batches("holdout", augment=False))) == 2
    for scope in (SEARCH, TEST):
        with pytest.raises(AccessError, match="asked for the 'holdout' images"):
            GuardedData(data, scope, "reader").batches("holdout")


def test_what_stopping_needs(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"2, but no images are held out. Set data.holdout_share"):
        trainer(tmp_path, TinyData())
    with pytest.raises(RecipeError, match=r"evaluator.stop.patience: a search compares"):
        trainer(tmp_path, HeldOut(), "search")
