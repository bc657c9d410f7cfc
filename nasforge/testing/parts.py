"""The smallest parts a plugin can be tried with: the kit's own, so that it needs no other plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.component import Context, Work
from nasforge.config import EvaluatorConfig, PluginConfig
from nasforge.data import DataModule, Split
from nasforge.distiller import Distiller
from nasforge.errors import DataError, PluginError, suggest
from nasforge.evaluator import Effort, Evaluation, Evaluator
from nasforge.images import Preprocessing
from nasforge.nn import ChoiceBlock, EdgeSum, FeatureInfo, Network, OptionWeights, Output
from nasforge.plugins import Plugin, Registry
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace, Scale, SearchSpace, Task

__all__ = ["Partners", "TinyData", "TinyDistiller", "TinyEvaluator", "TinySpace"]

PARTNER_KINDS = ("space", "data", "evaluator", "distiller")
"""Kinds of plugins that stand in for the other parts of a run."""

SPLITS: Mapping[Split, tuple[int, int]] = {"weights": (0, 16), "arch": (16, 32), "select": (32, 40)}


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


class _TinyNetwork(Network):
    """A stem, a cell that takes two of three inputs, and a coarser stage."""

    def __init__(self, choices: Mapping[str, Choice], task: Task, arch: Arch | None, cells: int) -> None:
        super().__init__()

        def operation(option: str) -> nn.Module:
            if option == "conv":
                return nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4))
            return nn.Identity() if option == "skip" else _Zero()

        def edge(source: str) -> nn.Module:
            return ChoiceBlock(choices[f"op/{source}"], operation, arch)

        conv = nn.Conv2d(task.in_channels, 4, 3, 1, 1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(4))
        self.cells = nn.ModuleList([EdgeSum(choices["inputs"], edge, arch) for _ in range(cells)])
        coarser = nn.Conv2d(4, 6, 3, 2, 1, bias=False)
        self.down = nn.Sequential(nn.ReLU(), coarser, nn.BatchNorm2d(6), nn.ReLU())
        self.classifier = nn.Linear(6, task.num_classes)
        self.feature_info = (FeatureInfo(4, 1), FeatureInfo(6, 2))

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        x = self.stem(x)
        for cell in self.cells:
            x = cell({"in0": x, "in1": x.roll(1, 2), "in2": -x}, weights)
        deep = self.down(x)
        return Output(self.classifier(deep.mean((2, 3))), (x, deep))


class TinySpace(NetworkSpace[PluginConfig]):
    """Two of three inputs, an operation on each: 81 architectures with edges, stem and two features."""

    parameter_free = frozenset({"skip"})
    tied = ("stem",)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The edges of one node, and the operation on each."""
        inputs = ("in0", "in1", "in2")
        edges = Choice("inputs", inputs, k=2, kind="edge")
        return (edges, *(Choice(f"op/{source}", ("conv", "skip", "none")) for source in inputs))

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build one cell at scale ``"search"``, two at the others."""
        return _TinyNetwork({c.name: c for c in self.choices}, task, arch, 1 if scale == "search" else 2)


class TinyData(DataModule[PluginConfig]):
    """56 images of 8 x 8 pixels in 3 classes that brightness tells apart; 16 of them are the test split."""

    @property
    def task(self) -> Task:
        """Three channels, 8 pixels, three classes."""
        return Task(3, 8, 3)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Three words."""
        return ("dark", "grey", "bright")

    @property
    def preprocessing(self) -> Preprocessing:
        """Bytes around 128 become numbers around 0."""
        half, level = (128 / 255,) * 3, (40 / 255,) * 3
        return Preprocessing(size=(8, 8), channels="rgb", mean=half, deviation=level)

    def sizes(self) -> Mapping[Split, int]:
        """Return 16, 16, 8, 40 and 16."""
        return {**{name: end - start for name, (start, end) in SPLITS.items()}, "full": 40, "test": 16}

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Iterate once over a split; see `DataModule.batches`."""
        size = batch_size or 8
        start, end = {**SPLITS, "full": (0, 40), "test": (40, 56)}[split]
        if size > end - start:
            raise DataError(
                f"tiny data: split {split!r} has {end - start} images, fewer than a batch of {size}."
            )
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(3, (56,), generator=generator)
        drawn = torch.randn(56, 3, 8, 8, generator=generator) + labels.view(-1, 1, 1, 1)
        images = self.preprocessing.apply(drawn.mul(40).add(128).round().clamp(0, 255).byte())
        order = torch.arange(start, end)
        if augment:
            generator.manual_seed(derive_seed(self.ctx.seed, "tiny", split, epoch))
            order = order[torch.randperm(end - start, generator=generator)]
        for chunk in order.split(size):
            yield images[chunk], labels[chunk]

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return the number of batches, the last one included."""
        return -(-self.sizes()[split] // (batch_size or 8))


class TinyEvaluatorConfig(EvaluatorConfig):
    """No options."""

    def reports(self) -> frozenset[str]:
        """Return what `TinyEvaluator` reports."""
        return frozenset({"params", "accuracy"})


class TinyEvaluator(Evaluator[PluginConfig]):
    """Scores an architecture by its key: no two alike, nothing to train.

    Attributes:
        seen: Every evaluation made, in order.
    """

    def setup(self, ctx: Context) -> None:
        """Start counting."""
        super().setup(ctx)
        self.seen: list[Evaluation] = []

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Return a number from 0 to 100 that depends on nothing but the architecture."""
        self.ctx.space.validate(arch)
        score = 100.0 * derive_seed(0, "tiny", arch.key) / 2**63
        self.seen.append(Evaluation(arch, score, 1.0, {"params": float(len(arch.key)), "accuracy": score}))
        return self.seen[-1]

    def workload(self, arch: Arch, effort: Effort) -> list[Work]:
        """Return the evaluation."""
        return [Work("evaluations", 1, lambda: self.evaluate(arch, budget=effort.budget))]


class TinyDistiller(Distiller[PluginConfig]):
    """The squared distance of logits, in a unit that is learned."""

    def bind(self, student: tuple[FeatureInfo, ...], teacher: tuple[FeatureInfo, ...], task: Task) -> None:
        """Make the learned unit."""
        self.unit = nn.Parameter(torch.ones(task.num_classes))

    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        """Return the mean squared difference."""
        return F.mse_loss(self.unit * student.logits, self.unit * teacher.logits)


@dataclass(frozen=True)
class Partners:
    """Stand-ins for the other parts of a run; replace one that a plugin cannot work with.

    Attributes:
        space: Makes the space that searchers and evaluators get.
        data: Makes the images they get.
        evaluator: Makes what scores architectures for a searcher.
        distiller: Makes what compares a searcher's networks.
        task: Input and output of the networks built by a space under test.
    """

    space: Callable[[], SearchSpace[Any]] = lambda: TinySpace(PluginConfig())
    data: Callable[[], DataModule[Any]] = lambda: TinyData(PluginConfig())
    evaluator: Callable[[], Evaluator[Any]] = lambda: TinyEvaluator(TinyEvaluatorConfig())
    distiller: Callable[[], Distiller[Any]] = lambda: TinyDistiller(PluginConfig())
    task: Task = field(default_factory=lambda: Task(3, 16, 4))

    @classmethod
    def named(cls, names: Mapping[str, str], registry: Registry | None = None) -> Partners:
        """Make partners of installed plugins, with their ``tiny`` options; the others are the kit's own.

        Args:
            names: Names of plugins by kind: ``{"space": "my-space"}``.
            registry: Where they are looked up; None for what is installed.

        Raises:
            PluginError: There is no such plugin, its kind is not a partner, or it needs options.
        """
        plugins = Registry.discover() if names and registry is None else registry
        found: dict[str, Any] = {}
        for kind, name in names.items():
            if kind not in PARTNER_KINDS:
                raise PluginError(
                    f"partner {kind} = {name!r}: no such kind of partner.{suggest(kind, PARTNER_KINDS)}"
                )
            assert plugins is not None, "looked up above"
            plugin = plugins.get(kind, name)
            try:
                found[kind] = partial(_make, plugin, plugin.config(**plugin.tiny))
            except ValidationError:
                raise PluginError(
                    f"partner {kind} = {name!r}: its tiny options do not suffice. Name another one."
                ) from None
        return cls(**found)


def _make(plugin: Plugin, config: PluginConfig) -> Any:
    return plugin.load()(config)
