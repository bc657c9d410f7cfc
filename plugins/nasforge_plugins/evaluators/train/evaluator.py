"""The ``train`` evaluator: what an architecture is worth when trained from scratch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from nasforge.arch import Arch
from nasforge.component import Context, Slot, Work
from nasforge.cost import measure
from nasforge.data import Split
from nasforge.errors import RecipeError, RunError
from nasforge.evaluator import Effort, Evaluation, ParallelEvaluator
from nasforge.nn import Network
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace
from nasforge.training.loops import Scores, isolated_random
from nasforge.training.stopping import Stopped
from nasforge_plugins.evaluators.train.checks import option_problems
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.scoring import score_held_out, score_split
from nasforge_plugins.evaluators.train.stopping import EarlyStopping
from nasforge_plugins.evaluators.train.stored import is_complete, kept_epochs, on_curve, stopped_state
from nasforge_plugins.evaluators.train.training import Training, load_teacher
from nasforge_plugins.evaluators.train.weighting import class_weights
from nasforge_plugins.evaluators.train.workload import test_work, training_work

__all__ = ["Trainer"]


class Trainer(ParallelEvaluator[TrainConfig]):
    """Trains the network of an architecture from scratch.

    In the train stage it trains on all images but the test ones, and the score is the training accuracy of
    the last epoch. As the evaluator of a search it trains on split ``weights`` and the score is measured on
    ``select``, or on ``arch`` where ``select`` is empty: the accuracy, or what the option ``score`` says. A
    budget replaces ``epochs``, or is a point on the learning curve of that training: see ``budgets``.

    Progress is saved after every epoch: a restart resumes from there and ends, on the CPU, in the same bits.
    The initial weights are a function of seed and architecture, not of earlier evaluations.

    Papers in this field report the best test epoch, which chooses on the test images. Here nothing is: the
    result is the last epoch, or the best on held-out training images with ``stop``. For comparison the
    last ``keep_epochs`` epochs keep their weights, and `test` reports the best of them under a name of
    its own.
    """

    def setup(self, ctx: Context) -> None:
        """Check that space, distiller and teacher can give what the options ask for.

        Raises:
            RecipeError: They cannot.
            RunError: The teacher's network does not fit the data.
        """
        super().setup(ctx)
        assert ctx.data is not None, "the recipe check requires a [data] table"
        self._data = ctx.data
        self._teacher: Network | None = None
        table = "evaluator" if ctx.stage == "search" else "train"
        if problems := [f"{table}.{problem}" for problem in option_problems(self.config, ctx)]:
            raise RecipeError("recipe", problems)
        if self.config.teacher and ctx.stage != "test":
            self._teacher = load_teacher(self.config.teacher, ctx, ctx.data.task)

    @property
    def _continues(self) -> bool:
        """Whether a budget is a part of one training."""
        return self.config.budgets == "continue" and self.ctx.stage == "search"

    def check_budget(self, budget: int) -> None:
        """Refuse more epochs than there are, where a budget is a part of them.

        Raises:
            RecipeError: See `evaluate`.
        """
        if self._continues and budget > self.config.epochs:
            raise RecipeError(
                "recipe",
                [
                    f"evaluator.epochs: {self.config.epochs}, but the searcher asks for a budget of "
                    f'{budget}. With budgets = "continue" set epochs to the largest budget.'
                ],
            )

    def workload(self, arch: Arch, effort: Effort) -> Sequence[Work]:
        """Return the batches, scores and checkpoints of one training; early stopping is not foreseen."""
        return training_work(self, arch, effort, self._continues)

    def test_workload(self, arch: Arch) -> Sequence[Work]:
        """Return the batches of all measurements on the test images."""
        return test_work(self, arch)

    def repeat(self, arch: Arch, index: int, *, budget: int | None = None) -> Evaluation:
        """Train one architecture with other initial weights and another order of images.

        Args:
            arch: The architecture.
            index: Which repetition. All architectures see the same batches in it.
            budget: As in `evaluate`, whose result and errors are these too.
        """
        return self._evaluate(arch, budget, index)

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Train one architecture, or resume where a killed process stopped.

        Args:
            arch: The architecture.
            budget: Epochs; None takes the option ``epochs``. With ``budgets = "continue"`` no more than that.

        Returns:
            See the class for the score. Metrics: ``params``, ``macs``, ``epochs``, ``train_loss`` (what was
            minimised) and ``train_accuracy`` of the last epoch, in a search also ``select_loss`` and
            ``select_accuracy`` (or ``arch_…``). The cost is the seconds of all processes together; of a
            training that is resumed, those since the budget before.

        Raises:
            RunError: The loss is infinite or not a number.
            RecipeError: The budget is larger than the training that it is a part of.
            DataError: The images cannot be read, or the batch is larger than the split.
        """
        return self._evaluate(arch, budget, 0)

    def _evaluate(self, arch: Arch, budget: int | None, index: int) -> Evaluation:
        until = self.config.epochs if budget is None else budget
        self.check_budget(until)
        epochs = self.config.epochs if self._continues else until
        settings = {"epochs": epochs, "options": self.config.to_json()}
        slot = self._slot(arch, index)
        state = slot.load()
        if state is not None and state["settings"] != settings:
            self._forget(arch, state, slot)
            state = None
        if state is None or not is_complete(state, until):
            # Restored afterwards: a searcher's own draws must not depend on what is trained in between.
            names = ("train", arch.key, *(("repeat", index) if index else ()))
            with isolated_random(self.ctx.runtime.device, derive_seed(self.ctx.seed, *names)):
                state = self._train(arch, settings, state, until, index)
        if self._continues:
            return on_curve(arch, state, until)
        return Evaluation(arch, state["score"], state["seconds"], state["metrics"])

    def begin(self, arch: Arch, epochs: int, index: int = 0, init: str = "") -> Training:
        """Return a training before its first epoch.

        Args:
            arch: The architecture.
            epochs: Length of the training.
            index: Index of the repetition.
            init: See `Training`.
        """
        distiller = self.ctx.distiller if self._teacher is not None else None
        weights = class_weights(self.config, self._data, "weights" if self.ctx.stage == "search" else "full")
        config, teacher = self.config, self._teacher
        return Training(config, self.ctx, arch, epochs, distiller, teacher, index, init, weights)

    def _train(
        self, arch: Arch, settings: dict[str, Any], state: Mapping[str, Any] | None, until: int, index: int
    ) -> dict[str, Any]:
        epochs, searching = settings["epochs"], self.ctx.stage == "search"
        split: Split = "weights" if searching else "full"
        training = self.begin(arch, epochs, index, init=self.config.init if state is None else "")
        cost = measure(training.network, self._data.task)
        slot, first, seconds = self._slot(arch, index), 0, 0.0
        curve: list[dict[str, Any]] = []
        asked = {until}
        stopping = EarlyStopping(self.config.stop) if self.config.stop.patience else None
        if state is not None:
            training.load_state_dict(state["training"])
            training.resume_at(state.get("position"))
            if stopping is not None:
                stopping.load_state_dict(state["stop"])
            first, seconds = state["epoch"], state["seconds"]
            curve, asked = list(state.get("curve", ())), asked.union(state.get("asked", ()))
        started = time.perf_counter() - seconds
        try:
            for epoch in range(first, until):
                before = state
                scores = training.run_epoch(epoch, split, self.ctx.report)
                metrics = {f"train_{name}": value for name, value in scores._asdict().items()}
                done = epoch + 1
                held = None if stopping is None else self._score_stop(training)
                self._announce(training, epoch, scores, held)
                state = {
                    "settings": settings,
                    "epoch": done,
                    "score": scores.accuracy,
                    "seconds": time.perf_counter() - started,
                    "metrics": {"params": cost.params, "macs": cost.macs, "epochs": done, **metrics},
                }
                if self._continues or (searching and done == epochs):
                    with training.scored():
                        by, scored = score_held_out(self.config, self.ctx, training.network)
                    state["score"] = scored.accuracy if self.config.score == "accuracy" else -scored.loss
                    state["metrics"] |= {f"{by}_{name}": v for name, v in scored._asdict().items()}
                if self._continues:
                    state["seconds"] = time.perf_counter() - started
                    curve.append({name: state[name] for name in ("score", "seconds", "metrics")})
                    state |= {"curve": curve, "asked": sorted(asked)}
                if searching and done == epochs:
                    # A candidate's weights are of no further use, and a search has thousands of candidates.
                    slot.delete()
                    slot.save(state)
                    break
                if stopping is not None and held is not None:
                    if stopping.improves(done, held):
                        self._kept(arch, "best").save({"network": training.result()})
                    best = {f"holdout_{name}": value for name, value in stopping.best._asdict().items()}
                    state["metrics"] |= {"best_epoch": stopping.epoch, **best}
                    state |= {"stop": stopping.state_dict(), "stopped": stopping.over(done)}
                elif not searching and epochs - self.config.keep_epochs < done < epochs:
                    self._kept(arch, f"epoch{done}").save({"network": training.result()})
                state["training"] = training.state_dict()
                slot.save(state)
                if is_complete(state, until):
                    break
        except Stopped:
            slot.save(stopped_state(before, settings, training, time.perf_counter() - started, stopping))
            raise
        assert state is not None
        return dict(state)

    def _announce(self, training: Training, epoch: int, scores: Scores, held: Scores | None = None) -> None:
        rates = {"lr": training.lr(epoch), "drop_path": training.drop_path_rate(epoch)}
        values = {**scores._asdict(), **rates, **training.update_metrics()}
        if held is not None:
            values |= {f"holdout_{name}": value for name, value in held._asdict().items()}
        self.ctx.report({"done": (epoch + 1) / training.epochs, "epoch": epoch + 1, **values})
        if self.ctx.stage == "train":
            self.ctx.record(epoch + 1, values)

    def _score_stop(self, training: Training) -> Scores:
        with training.scored():
            return score_split(self.config, self.ctx, training.network, "holdout")

    def _slot(self, arch: Arch, index: int = 0) -> Slot:
        return self.ctx.slot(f"{arch.key}-repeat{index}" if index else arch.key)

    def _kept(self, arch: Arch, which: str) -> Slot:
        return self.ctx.slot(f"{arch.key}-{which}")

    def _forget(self, arch: Arch, state: Mapping[str, Any], slot: Slot) -> None:
        """Remove the weights of a training with other options."""
        kept = [f"epoch{epoch}" for epoch in kept_epochs(state["settings"])]
        for which in [*kept, "best"] if "stop" in state else kept:
            self._kept(arch, which).delete()
        slot.delete()

    def _finished(self, arch: Arch) -> dict[str, Any]:
        state = self._slot(arch).load()
        if state is None or not is_complete(state, state["settings"]["epochs"]) or "training" not in state:
            raise RunError(
                f"{self.ctx.stage}: architecture {arch.key} is not trained yet. Run the train stage first."
            )
        return state

    def _result(self, arch: Arch, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the weights that are tested and stored: of the best epoch, the average, or the last ones."""
        if "stop" in state:
            best = self._kept(arch, "best").load()
            assert best is not None, "it was saved before the training's own slot"
            return dict(best["network"])
        last = state["training"]
        return dict(last["average"]["weights"] if "average" in last else last["network"])

    def _load(self, arch: Arch, weights: Mapping[str, Any]) -> Network:
        space = cast("NetworkSpace[Any]", self.ctx.space)
        with isolated_random(self.ctx.runtime.device, 0):
            network = space.build(self._data.task, arch, scale="final")
        network.load_state_dict(weights)
        return self.ctx.runtime.prepare(network).eval()

    def network(self, arch: Arch) -> Network:
        """Return the trained network of the last epoch (with early stopping, the best), in `eval` mode.

        Args:
            arch: An architecture that `evaluate` has trained in the train stage.

        Raises:
            RunError: It is not trained yet.
        """
        return self._load(arch, self._result(arch, self._finished(arch)))

    def test(self, arch: Arch) -> Mapping[str, float]:
        """Measure the last epochs on the test split.

        Args:
            arch: An architecture that `evaluate` has trained in the train stage.

        Returns:
            ``accuracy`` and ``loss`` of the last epoch: the honest result, nothing was chosen by it.
            ``accuracy_best`` and ``best_epoch``: the best of the last ``epochs_tested`` epochs, *chosen on
            the test split*; too good by construction, and given only to compare with papers that report
            their best epoch (over all epochs, so theirs is better still). With an average of weights, all of
            these are those of the average; ``accuracy_without_ema`` and ``loss_without_ema`` are not.
            With early stopping the best held-out epoch is measured, and no other.

        Raises:
            RunError: The architecture is not trained yet.
        """
        state = self._finished(arch)
        network = self._load(arch, self._result(arch, state))
        final = state["stop"]["epoch"] if "stop" in state else state["epoch"]
        epochs = [final] if "stop" in state else list(kept_epochs(state["settings"]))
        results = {}
        for epoch in epochs:
            if epoch < final:
                kept = self._kept(arch, f"epoch{epoch}").load()
                if kept is None:
                    continue
                network.load_state_dict(kept["network"])
            else:
                network.load_state_dict(self._result(arch, state))
            results[epoch] = score_split(self.config, self.ctx, network, "test")
            self.ctx.report({"done": len(results) / len(epochs), "epoch": epoch})
        best = max(results, key=lambda epoch: results[epoch].accuracy)
        last = results[final]
        without = {}
        if "average" in state["training"] and "stop" not in state:
            network.load_state_dict(state["training"]["network"])
            scores = score_split(self.config, self.ctx, network, "test")
            without = {"accuracy_without_ema": scores.accuracy, "loss_without_ema": scores.loss}
        return {
            "accuracy": last.accuracy,
            "loss": last.loss,
            "accuracy_best": results[best].accuracy,
            "best_epoch": best,
            "epochs_tested": len(results),
            **without,
        }
