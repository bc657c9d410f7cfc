"""The work of a training, for the forecast of a run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from torch import Tensor

from nasforge.arch import Arch
from nasforge.component import Work
from nasforge.data import Split
from nasforge.evaluator import Effort
from nasforge.training.loops import RunningScores, score
from nasforge_plugins.evaluators.train.checks import held_out
from nasforge_plugins.evaluators.train.scoring import count_batches, count_held_out, read_whole
from nasforge_plugins.evaluators.train.training import Training

if TYPE_CHECKING:
    from nasforge_plugins.evaluators.train.evaluator import Trainer

__all__ = ["test_work", "training_work"]


def training_work(trainer: Trainer, arch: Arch, effort: Effort, continues: bool) -> list[Work]:
    """Return the work that is left of a training.

    Args:
        trainer: The evaluator.
        arch: The architecture.
        effort: The length of the training.
        continues: Whether every epoch is scored, because a budget is a part of the training.
    """
    config, ctx, rehearsal = trainer.config, trainer.ctx, TrainingRehearsal(trainer, arch)
    assert ctx.data is not None, "the recipe check requires a [data] table"
    searching = ctx.stage == "search"
    until = config.epochs if effort.budget is None else effort.budget
    state = ctx.slot(arch.key).load()
    same = state is not None and state["settings"]["options"] == config.to_json()
    done = state["epoch"] if state is not None and same else 0
    epochs = max(0, until - max(effort.known if continues else 0, done))
    batches: float = ctx.data.num_batches(rehearsal.split, batch_size=config.batch_size)
    # In whole batches: of few images, the last batch is a large part of an epoch, and may be nearly empty.
    batches = min(batches, max(1.0, ctx.data.sizes()[rehearsal.split] / config.batch_size))
    batches = min(config.epoch_batches or batches, batches)
    works = [
        Work("training batches", epochs * batches, rehearsal.train_batch),
        Work("checkpoints of a training", epochs, rehearsal.save, writes=True),
    ]
    if searching:
        scores = count_held_out(config, ctx) * (epochs if continues else 1)
        works += [
            Work("networks built", 1, rehearsal.build),
            Work("scored batches", scores, rehearsal.score_batch),
        ]
    elif config.stop.patience:
        works.append(
            Work("scored batches", epochs * count_batches(config, ctx, "holdout"), rehearsal.score_batch)
        )
    return works


def test_work(trainer: Trainer, arch: Arch) -> list[Work]:
    """Return the work of the measurements on the test images; the time is that of training images.

    Args:
        trainer: The evaluator, in the train stage.
        arch: The architecture.
    """
    config = trainer.config
    kept = 1 if config.stop.patience else min(config.keep_epochs, config.epochs)
    measured = (
        kept + (1 if config.ema.decay else 0) + 1
    )  # the predictions are recorded in a pass of their own
    batches = count_batches(config, trainer.ctx, "test")
    return [Work("test batches", measured * batches, TrainingRehearsal(trainer, arch).score_batch)]


class TrainingRehearsal:
    """Does single units of a training.

    Args:
        trainer: The evaluator.
        arch: The architecture.
    """

    def __init__(self, trainer: Trainer, arch: Arch) -> None:
        self._trainer, self._arch = trainer, arch
        self.split: Split = "weights" if trainer.ctx.stage == "search" else "full"

    def train_batch(self) -> None:
        """Train on the next batch."""
        images, labels = next(self._batches)
        self._scores.add(*self._training.step(images, labels), labels)

    def score_batch(self) -> None:
        """Score the next batch."""
        score(self._training.network, [next(self._scored)], self._trainer.ctx.runtime)

    def build(self) -> None:
        """Build the network and all that trains it."""
        self._trainer.begin(self._arch, self._epochs)

    def save(self) -> None:
        """Save a checkpoint."""
        self._trainer.ctx.slot("forecast").save({"training": self._training.state_dict()})

    @property
    def _epochs(self) -> int:
        return self._trainer.config.epochs

    @cached_property
    def _scores(self) -> RunningScores:
        return RunningScores("forecast")

    @cached_property
    def _training(self) -> Training:
        training = self._trainer.begin(self._arch, self._epochs)
        training.begin_epoch(self._epochs // 2)  # drop path is off in the first one
        return training

    @cached_property
    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._read_training_images()

    @cached_property
    def _scored(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._read_scored_images()

    def _read_training_images(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches without end, without those that are not full."""
        data = self._trainer.ctx.data
        assert data is not None, "the recipe check requires a [data] table"
        largest = 0
        for epoch in count():
            for batch in data.batches(self.split, epoch=epoch, batch_size=self._trainer.config.batch_size):
                largest = max(largest, len(batch[1]))
                if len(batch[1]) == largest:
                    yield batch

    def _read_scored_images(self) -> Iterator[tuple[Tensor, Tensor]]:
        ctx = self._trainer.ctx
        assert ctx.data is not None, "the recipe check requires a [data] table"
        split = held_out(ctx.data) if ctx.stage == "search" else self.split
        while True:
            yield from read_whole(self._trainer.config, ctx, split)
