"""The ``supernet`` evaluator: what an architecture is worth with weights that all of them share."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.arch import Arch
from nasforge.component import Context, Work
from nasforge.data import Split
from nasforge.errors import CheckpointError, RunError
from nasforge.evaluator import Effort, Evaluation, ParallelEvaluator
from nasforge.nn import Network, copy_shared
from nasforge.runtime import checkpoint
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace
from nasforge.training.loops import RunningScores, Scores, isolated_random
from nasforge.training.stopping import Stopped
from nasforge_plugins.evaluators.supernet.config import SupernetConfig
from nasforge_plugins.evaluators.supernet.mixing import mixed
from nasforge_plugins.evaluators.supernet.norms import recalibrate
from nasforge_plugins.evaluators.supernet.training import SupernetRehearsal, SupernetTraining

__all__ = ["Supernet"]

SLOT = "supernet"


class Supernet(ParallelEvaluator[SupernetConfig]):
    """Scores architectures by their accuracy with inherited weights (Guo et al., ECCV 2020).

    Before the first evaluation it trains a supernet of the space, one random architecture per batch, or takes
    one that another run has trained. Training is saved after every epoch and resumes from there. Then an
    evaluation costs a pass over the scored images: any black-box searcher can look at thousands.

    Weights learn on split ``weights``; the score is the accuracy on split ``arch``, or on ``select`` where
    ``arch`` is empty. It depends on seed and architecture alone: the supernet does not change any more.
    """

    def setup(self, ctx: Context) -> None:
        """Prepare; the supernet is trained or loaded when the first architecture comes."""
        super().setup(ctx)
        assert ctx.data is not None, "the recipe check requires a [data] table"
        self._data = ctx.data
        self._space = cast("NetworkSpace[Any]", ctx.space)
        self._network: Network | None = None

    def prepare(self) -> None:
        """Train or load the supernet; see `evaluate` for errors."""
        self.supernet()

    def preparation(self) -> Sequence[Work]:
        """Return the batches of the supernet's training, and its checkpoints."""
        config = self.config
        if config.weights:
            return ()
        state = self.ctx.slot(SLOT).load() or {"epoch": 0}
        epochs = max(0, config.epochs - state["epoch"])
        rehearsal = SupernetRehearsal(config, self.ctx, self._space)
        batches = self._data.num_batches("weights", batch_size=config.batch_size)
        return [
            Work("batches of supernet training", epochs * batches, rehearsal.train_batch),
            Work("checkpoints of the supernet", epochs, rehearsal.save, writes=True),
        ]

    def workload(self, arch: Arch, effort: Effort) -> Sequence[Work]:
        """Return an evaluation, with a supernet that is not trained yet."""

        def run() -> None:
            if self._network is None:
                network = self._space.build(self._data.task, scale="search")
                self._network = self.ctx.runtime.prepare(network)
            self.evaluate(arch, budget=effort.budget)

        return [Work("evaluations by the supernet", 1, run)]

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Score one architecture; the first call trains the supernet, or resumes its training.

        Args:
            arch: The architecture.
            budget: Batches to score on, in the order of the data, which for a folder is class by class; None
                takes all there are.

        Returns:
            The score is the accuracy. Metrics: ``arch_accuracy`` and ``arch_loss`` (or ``select_…``). The
            cost counts the scoring alone: what the supernet took belongs to no single architecture.

        Raises:
            RunError: The loss is infinite or not a number, or the other run's supernet does not fit.
            DataError: The images cannot be read, or a batch is larger than the split.
        """
        supernet = self.supernet()
        started = time.perf_counter()
        with isolated_random(self.ctx.runtime.device, derive_seed(self.ctx.seed, SLOT, arch.key)):
            network = self._space.build(self._data.task, arch, scale="search")
            copy_shared(network, supernet)
            network = self.ctx.runtime.prepare(network)
            if self.config.norm == "recalibrate":
                recalibrate(network, self._training_images(), self.ctx.runtime)
            split: Split = "arch" if self._data.sizes()["arch"] else "select"
            scores = self._score(network, split, budget)
        metrics = {f"{split}_{name}": value for name, value in scores._asdict().items()}
        return Evaluation(arch, scores.accuracy, time.perf_counter() - started, metrics)

    def supernet(self) -> Network:
        """Return the trained supernet, on the run's device; train or load it if that is not done yet.

        Raises:
            RunError: See `evaluate`.
        """
        if self._network is None:
            # Restored afterwards: a searcher's own draws must not depend on what is trained in between.
            with isolated_random(self.ctx.runtime.device, derive_seed(self.ctx.seed, SLOT)):
                training = SupernetTraining(self.config, self.ctx, self._space)
                if self.config.weights:
                    self._inherit(training.network, self.config.weights)
                else:
                    self._train(training)
            self._network = training.network
        return self._network

    def _train(self, training: SupernetTraining) -> None:
        config, slot = self.config, self.ctx.slot(SLOT)
        how = {"norm", "recalibration_images", "weights"}  # options that say how to score
        options = {name: value for name, value in config.to_json().items() if name not in how}
        state = slot.load()
        first = 0
        if state is not None and state["options"] == options:
            training.load_state_dict(state)
            training.resume_at(state.get("position"))
            first = state["epoch"]
        for epoch in range(first, config.epochs):
            try:
                scores = training.run_epoch(epoch, self.ctx.report)
            except Stopped:
                position = {"epoch": epoch, "position": training.position()}
                slot.save({"options": options, **position, **training.state_dict()})
                raise
            values = {**scores._asdict(), **training.update_metrics()}
            self.ctx.report({"prepared": (epoch + 1) / config.epochs, "epoch": epoch + 1, **values})
            slot.save({"options": options, "epoch": epoch + 1, **training.state_dict()})

    def _inherit(self, network: Network, run: str) -> None:
        path = Path(run).expanduser() / "search" / "slots" / f"{SLOT}.safetensors"
        try:
            state = checkpoint.load(path)
        except CheckpointError as error:
            raise RunError(f"evaluator.weights: {error}") from None
        if state is None:
            raise RunError(
                f"evaluator.weights: {run!r} holds no supernet. Give the folder of a run whose [evaluator] "
                "was 'supernet' and whose search has ended."
            )
        if state["epoch"] < state["options"]["epochs"]:
            raise RunError(
                f"evaluator.weights: the supernet of {run!r} has {state['epoch']} of "
                f"{state['options']['epochs']} epochs. Resume that run first."
            )
        try:
            network.load_state_dict(state["network"])
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip().rstrip(".")
            raise RunError(
                f"evaluator.weights: the supernet of {run!r} does not fit this space and data: {reason}. Use "
                "a run with the same [space] and images of the same size and classes."
            ) from None

    def _training_images(self) -> Iterator[Tensor]:
        size = self._batch_size("weights")
        batches = self._data.batches("weights", batch_size=size)
        count = math.ceil(self.config.recalibration_images / size)
        return (images for images, _ in islice(batches, count))

    @torch.no_grad()
    def _score(self, network: Network, split: Split, budget: int | None) -> Scores:
        network.train(self.config.norm == "batch")
        size = self._batch_size(split)
        found = self._data.batches(split, augment=False, batch_size=size)
        batches: Iterator[tuple[Tensor, Tensor]] = islice(found, budget)
        if self.config.norm == "batch":
            order = torch.Generator().manual_seed(derive_seed(self.ctx.seed, SLOT, "order"))
            batches = mixed(batches, size, order)
        scores = RunningScores(f"search, {split} images")
        for images, labels in batches:
            with self.ctx.runtime.autocast():
                logits = network(self.ctx.runtime.prepare_images(images)).logits
            scores.add(F.cross_entropy(logits.float(), labels), logits, labels)
        return scores.read()

    def _batch_size(self, split: Split) -> int:
        return max(1, min(self.config.batch_size, self._data.sizes()[split]))
