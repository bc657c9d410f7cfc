"""The evaluator: what a network is worth when the images are bad."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from nasforge.arch import Arch
from nasforge.component import Slot
from nasforge.config import PluginConfig
from nasforge.cost import measure
from nasforge.data import DataModule, Split
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation, ParallelEvaluator
from nasforge.nn import Network
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace
from nasforge.training.loops import (
    accuracy,
    cosine_lr,
    isolated_random,
    load_optimizer,
    random_state,
    set_lr,
    set_random_state,
    train_epoch,
)
from torch import Tensor
from torch.nn import functional as F

from common_corruptions.config import CommonCorruptionsEvaluatorConfig
from common_corruptions.images import corrupt

__all__ = ["CommonCorruptionsEvaluator"]


class CommonCorruptionsEvaluator(ParallelEvaluator[CommonCorruptionsEvaluatorConfig]):
    """Trains a network on clean images and scores it on clean and on spoilt ones.

    In a search it trains on split ``weights`` and scores on ``select``, or on ``arch`` where ``select`` is
    empty. As ``[train]`` it trains on all images but the test ones; its score is then made of training
    images, and `test` measures the test images.
    """

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Train one architecture, or resume where a killed process stopped, and score it.

        Args:
            arch: The architecture.
            budget: Epochs; None takes the option.

        Returns:
            Metrics: ``params``, ``macs``, ``clean_accuracy``, ``corrupted_accuracy`` (the mean) and one
            accuracy per corruption, such as ``blur_accuracy``, in percent.

        Raises:
            RunError: The loss is infinite or not a number.
        """
        began, searching = time.perf_counter(), self.ctx.stage == "search"
        epochs = budget or self.config.epochs
        slot = self._slot(arch, epochs)
        state = slot.load() or {"epoch": 0, "seconds": 0.0}
        if "evaluation" in state:
            return Evaluation.from_json(state["evaluation"])
        # Restored afterwards: a searcher's own draws must not depend on what is trained in between.
        with isolated_random(self.ctx.runtime.device, derive_seed(self.ctx.seed, "train", arch.key)):
            network = self._train(arch, epochs, "weights" if searching else "full", state)
        held_out: Split = "select" if self._data.sizes()["select"] else "arch"
        metrics = self._measure(network, held_out if searching else "full")
        share = self.config.clean_share
        score = share * metrics["clean_accuracy"] + (1 - share) * metrics["corrupted_accuracy"]
        cost = measure(network, self._data.task)
        seconds = state["seconds"] + time.perf_counter() - began
        result = Evaluation(arch, score, seconds, {"params": cost.params, "macs": cost.macs, **metrics})
        if searching:  # a candidate's weights are of no further use, and there may be thousands
            slot.delete()
            slot.save({"evaluation": result.to_json()})
        return result

    def test(self, arch: Arch) -> Mapping[str, float]:
        """Measure an architecture that the train stage has trained on the test images.

        Returns:
            ``accuracy``, that of clean images, and the accuracies of `evaluate`.

        Raises:
            RunError: It is not trained yet.
        """
        metrics = self._measure(self.network(arch), "test")
        return {"accuracy": metrics["clean_accuracy"], **metrics}

    def network(self, arch: Arch) -> Network:
        """Return the network that the train stage has trained.

        Raises:
            RunError: It is not trained yet.
        """
        state = self._slot(arch, self.config.epochs).load()
        if state is None or state["epoch"] < self.config.epochs:
            raise RunError(f"architecture {arch.key} is not trained yet. Run the train stage first.")
        network = self._build(arch)
        network.load_state_dict(state["network"])
        return network.eval()

    def _train(self, arch: Arch, epochs: int, split: Split, state: Mapping[str, Any]) -> Network:
        config, slot, began = self.config, self._slot(arch, epochs), time.perf_counter()
        network = self._build(arch).train()
        optimizer = torch.optim.SGD(
            network.parameters(), config.lr, momentum=0.9, weight_decay=config.weight_decay
        )

        def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            optimizer.zero_grad()
            with self.ctx.runtime.autocast():
                logits = network(images).logits
            loss = F.cross_entropy(logits.float(), labels)
            loss.backward()
            optimizer.step()
            return loss, logits

        if state["epoch"]:
            network.load_state_dict(state["network"])
            load_optimizer(optimizer, state["optimizer"])
            set_random_state(self.ctx.runtime.device, state["random"])
        for epoch in range(state["epoch"], epochs):
            set_lr(optimizer, cosine_lr(epoch, epochs, config.lr))
            batches = self._data.batches(split, epoch=epoch, batch_size=config.batch_size)
            scores = train_epoch(batches, step, f"common-corruptions, epoch {epoch + 1}")
            slot.save(
                {
                    "epoch": epoch + 1,
                    "seconds": state["seconds"] + time.perf_counter() - began,
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "random": random_state(self.ctx.runtime.device),
                }
            )
            self.ctx.report({"done": (epoch + 1) / epochs, **scores._asdict()})
            if self.ctx.stage == "train":
                self.ctx.record(epoch + 1, scores._asdict())
        return network

    def _measure(self, network: Network, split: Split) -> dict[str, float]:
        runtime, found = self.ctx.runtime, {}
        found["clean_accuracy"] = accuracy(network, self._images(split), runtime)
        for kind in self.config.corruptions:
            scores = [
                accuracy(network, self._images(split, kind, severity), runtime)
                for severity in self.config.severities
            ]
            found[f"{kind}_accuracy"] = sum(scores) / len(scores)
        spoilt = [found[f"{kind}_accuracy"] for kind in self.config.corruptions]
        return {**found, "corrupted_accuracy": sum(spoilt) / len(spoilt)}

    def _images(self, split: Split, kind: str = "", severity: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        size = min(self.config.batch_size, self._data.sizes()[split])
        for number, (images, labels) in enumerate(self._data.batches(split, augment=False, batch_size=size)):
            # No candidate has luckier noise than another: the seed does not depend on the architecture.
            seed = derive_seed(self.ctx.seed, "corruption", kind, severity, number)
            yield (corrupt(images, kind, severity, seed) if kind else images), labels

    def _build(self, arch: Arch) -> Network:
        space = cast("NetworkSpace[PluginConfig]", self.ctx.space)
        return self.ctx.runtime.prepare(space.build(self._data.task, arch))

    def _slot(self, arch: Arch, epochs: int) -> Slot:
        return self.ctx.slot(f"{arch.key}-{epochs}")

    @property
    def _data(self) -> DataModule[Any]:
        assert self.ctx.data is not None, "the recipe check requires a [data] table"
        return self.ctx.data
