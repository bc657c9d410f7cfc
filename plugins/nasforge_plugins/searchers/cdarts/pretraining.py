"""Training of the bank before the search (``pretrain.py`` of the authors' first release)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import chain, count, islice, zip_longest
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from nasforge.component import Context, Work
from nasforge.data import Split
from nasforge.nn import Network, OptionWeights, Output, tie, uniform_weights
from nasforge.runtime import Runtime
from nasforge.seeding import derive_seed, random_from_json, random_to_json
from nasforge.space import NetworkSpace
from nasforge.training.loops import cosine_lr, load_optimizer, set_lr
from nasforge.training.loss_scale import loss_scale_for
from nasforge.training.optim import frozen
from nasforge.training.shards import step_in_shards
from nasforge.training.stopping import until_stopped
from nasforge.training.twin import Twin
from nasforge.training.update import Update
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.gradient.batches import Batch
from nasforge_plugins.searchers.gradient.progress import StepProgress, accuracy_of

__all__ = ["BankPretraining"]

SPLITS: tuple[Split, ...] = ("weights", "arch")
"""Splits that a search may train on; the published pretraining reads them as one set."""


class BankPretraining:
    """Trains the bank as a network: all operations with equal weights, or drawn architectures.

    While it does, the bank uses the search network's stem, and its classifier if the options say so. At the
    end it goes back to the CPU, with copies of what it used.

    Args:
        ctx: Data, runtime, seed and reports.
        config: The options of the searcher.
        space: The space that is searched.
        twin: Owner of the bank and the distiller.
        search_net: The search network.

    Attributes:
        epoch: Epochs that were made.
    """

    def __init__(
        self, ctx: Context, config: CdartsConfig, space: NetworkSpace[Any], twin: Twin, search_net: Network
    ) -> None:
        assert ctx.data is not None, "the recipe check requires a [data] table"
        self._ctx, self._data, self._config, self._space = ctx, ctx.data, config, space
        self._runtime: Runtime = ctx.runtime
        self._twin, self._search_net = twin, search_net
        self.epoch, self._loss_scale = 0, loss_scale_for(ctx.runtime)
        self._own: dict[str, nn.Module] = {}
        self._under_way: tuple[StepProgress, Random] | None = None
        self._position: Mapping[str, Any] | None = None
        if config.pretrain.epochs:
            self._begin()

    @property
    def done(self) -> bool:
        """Whether no epoch is left."""
        return self.epoch >= self._config.pretrain.epochs

    def step(self) -> dict[str, float]:
        """Make an epoch, or the rest of one; return ``pretrain_loss`` and ``pretrain_accuracy``.

        Raises:
            Stopped: A stop was requested; the state describes the moment.
        """
        options, epoch = self._config.pretrain, self.epoch
        set_lr(
            self._optimizer,
            cosine_lr(epoch, options.epochs, options.lr, warmup_epochs=options.lr_warmup_epochs),
        )
        rng = Random(derive_seed(self._ctx.seed, "pretrain", epoch))
        update = Update(self._config.clip, self._loss_scale)
        where = f"pretraining, epoch {epoch + 1}"
        batches = sum(map(self._data.num_batches, SPLITS))
        progress = StepProgress(self._ctx.report, where, batches)
        resumed, self._position = self._position, None
        if resumed is not None:
            progress.load_state_dict(resumed["progress"])
            random_from_json(rng, resumed["rng"])
        self._under_way = progress, rng
        self._twin.bank.train()
        for images, labels in until_stopped(islice(self._read(epoch), progress.done, None)):
            values = self._train_batch(images, labels, rng, update)
            progress.add("bank", len(labels) * self._runtime.shards.world, values)
        self._under_way = None
        self.epoch += 1
        if self.done:
            self._end()
        scaling = {} if self._loss_scale is None else self._loss_scale.metrics()
        return {**progress.means(), **scaling}

    def workload(self) -> list[Work]:
        """Return the batches that are left; none if there is no pretraining."""
        if self.done:
            return []
        rng = Random(derive_seed(self._ctx.seed, "forecast"))
        update = Update(self._config.clip, self._loss_scale)
        batches = chain.from_iterable(map(self._read, count()))

        def run() -> None:
            self._twin.bank.train()
            self._train_batch(*next(batches), rng, update)

        epochs = self._config.pretrain.epochs - self.epoch
        units = epochs * sum(map(self._data.num_batches, SPLITS))
        return [Work("batches of the bank's pretraining", units, run)]

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch; before the end also the optimiser, and what the bank set aside."""
        if self.done:
            return {"epoch": self.epoch}
        own = {name: module.state_dict() for name, module in self._own.items()}
        state = {"epoch": self.epoch, "optimizer": self._optimizer.state_dict(), "own": own}
        if self._loss_scale is not None:
            state["loss_scale"] = self._loss_scale.state_dict()
        if self._under_way is not None:
            progress, rng = self._under_way
            state["within_step"] = {"progress": progress.state_dict(), "rng": random_to_json(rng)}
        elif self._position is not None:
            state["within_step"] = dict(self._position)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Args:
            state: The result of `state_dict`.
        """
        self.epoch, self._position = state["epoch"], state.get("within_step")
        if "optimizer" in state:
            load_optimizer(self._optimizer, state["optimizer"])
            if self._loss_scale is not None:
                self._loss_scale.load_state_dict(state["loss_scale"])
            for name, module in self._own.items():
                module.load_state_dict(state["own"][name])
        elif self._own:
            self._end()

    def _begin(self) -> None:
        bank, options = self._runtime.prepare(self._twin.bank), self._config.pretrain
        names = [*self._twin.tied]
        if self._config.quirks.search_classifier and _same_shapes(bank, self._search_net, "classifier"):
            names.append("classifier")
        self._own = {name: bank.get_submodule(name) for name in names}
        tie(bank, self._search_net, names)
        self._trained = list(bank.parameters())
        self._optimizer = SGD(
            self._trained,
            options.lr,
            momentum=self._config.momentum,
            weight_decay=options.weight_decay,
            foreach=True,
        )
        choices = self._space.choices
        self._uniform = uniform_weights(choices, device=self._runtime.device)
        self._operations = [choice for choice in choices if choice.kind == "op"]

    def _end(self) -> None:
        bank = self._twin.bank
        for name, module in self._own.items():
            if name in self._twin.tied:
                module = copy.deepcopy(self._search_net.get_submodule(name))
            parent, _, leaf = name.rpartition(".")
            setattr(bank.get_submodule(parent), leaf, module)
        self._own = {}
        for parameter in [*bank.parameters(), *self._search_net.parameters()]:
            parameter.grad = None
        bank.cpu()

    def _train_batch(self, images: Tensor, labels: Tensor, rng: Random, update: Update) -> dict[str, Tensor]:
        """Train the bank on a batch; return ``pretrain_loss`` and ``pretrain_accuracy``.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
            rng: Draws architectures.
            update: Makes the step.
        """
        options, distiller = self._config.pretrain, self._twin.distiller
        heads = [] if distiller is None else list(distiller.parameters())
        samples = 1 if options.architectures == "uniform" else options.samples

        def step(images: Tensor, labels: Tensor, drawn: list[OptionWeights]) -> dict[str, Tensor]:
            with frozen(heads):
                outputs = [self._run(images, weights) for weights in drawn]
                loss = torch.stack([self._loss(output, labels) for output in outputs]).sum()
            update.descend(loss, [self._optimizer], self._trained)
            return {"pretrain_loss": loss, "pretrain_accuracy": accuracy_of(outputs[-1], labels)}

        return step_in_shards(self._runtime, step, images, labels, [self._draw(rng) for _ in range(samples)])

    def _read(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of all splits that a search trains on, in turns."""
        shards = self._runtime.shards
        passes = [
            self._data.batches(split, epoch=epoch)
            if shards.count == 1
            else self._data.shard_batches(split, shards, epoch=epoch)
            for split in SPLITS
        ]
        for images, labels in filter(None, chain.from_iterable(zip_longest(*passes))):
            yield self._runtime.prepare_images(images), labels

    def _draw(self, rng: Random) -> OptionWeights:
        """Return equal weights, or one architecture; a node takes the mean of its inputs, chosen or not."""
        if self._config.pretrain.architectures == "uniform":
            return self._uniform
        arch = self._space.sample(rng)
        return {**self._uniform, **{c.name: c.options.index(arch[c.name][0]) for c in self._operations}}

    def _run(self, images: Tensor, weights: OptionWeights) -> Output:
        with self._runtime.autocast():
            return self._twin.bank(images, weights)

    def _loss(self, output: Output, labels: Tensor) -> Tensor:
        options, distiller = self._config.pretrain, self._twin.distiller
        smoothing = options.label_smoothing
        loss = cross_entropy(output.logits.float(), labels, label_smoothing=smoothing)
        if not options.auxiliary_weight or distiller is None:
            return loss
        with self._runtime.autocast():
            logits = distiller.classify(output)
        if logits is None:
            return loss
        second = cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        return loss + options.auxiliary_weight * second


def _same_shapes(one: nn.Module, other: nn.Module, name: str) -> bool:
    found = [getattr(module, name, None) for module in (one, other)]
    shapes = [{n: t.shape for n, t in m.state_dict().items()} for m in found if isinstance(m, nn.Module)]
    return len(shapes) == 2 and shapes[0] == shapes[1]
