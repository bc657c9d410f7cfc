"""A space, data and a context so small that a whole CDARTS search takes a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.component import Context
from nasforge.config import PluginConfig
from nasforge.data import DataModule, Split
from nasforge.distiller import Distiller
from nasforge.nn import ChoiceBlock, EdgeSum, FeatureInfo, Network, OptionWeights, Output
from nasforge.runtime import Runtime
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace, Scale, Task

OPERATIONS = ("conv", "skip", "pool", "none")
TASK = Task(image_size=8, num_classes=3)
INPUTS = ("in0", "in1", "in2")


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


def make_operation(name: str, channels: int) -> nn.Module:
    if name == "conv":
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(channels, affine=False))
    if name == "skip":
        return nn.Identity()
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False) if name == "pool" else Zero()


class Cell(nn.Module):
    """A node that takes two of its three inputs, each through one of four operations."""

    def __init__(self, choices: Mapping[str, Choice], channels: int, arch: Arch | None) -> None:
        super().__init__()

        def edge(source: str) -> nn.Module:
            return ChoiceBlock(choices[f"op/{source}"], lambda o: make_operation(o, channels), arch)

        self.node = EdgeSum(choices["inputs"], edge, arch)

    def forward(self, x: Tensor, weights: OptionWeights | None) -> Tensor:
        return self.node({"in0": x, "in1": x.roll(1, 2), "in2": -x}, weights)


class TinyNetwork(Network):
    def __init__(self, space: TinySpace, task: Task, arch: Arch | None, cells: int) -> None:
        super().__init__()
        choices = {c.name: c for c in space.choices}
        self.stem = nn.Sequential(nn.Conv2d(task.in_channels, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.cells = nn.ModuleList([Cell(choices, 4, arch) for _ in range(cells)])
        self.down = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6))
        self.classifier = nn.Linear(6, task.num_classes)
        self.feature_info = (FeatureInfo(4, 1), FeatureInfo(6, 2))

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, weights)
        deep = self.down(x)
        return Output(self.classifier(deep.mean((2, 3))), (x, deep))


class TinySpace(NetworkSpace[PluginConfig]):
    parameter_free = frozenset({"skip", "pool"})
    tied = ("stem",)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        inputs = Choice("inputs", INPUTS, k=2, kind="edge")
        return (inputs, *(Choice(f"op/{source}", OPERATIONS) for source in INPUTS))

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        return TinyNetwork(self, task, arch, 1 if scale == "search" else 2)


class TinyData(DataModule[PluginConfig]):
    """Random images, a pure function of split and epoch; ``seen`` logs what was asked for."""

    def __init__(self, batches: Mapping[str, int] | None = None, poison: int | None = None) -> None:
        super().__init__(PluginConfig())
        self.counts = {"weights": 3, "arch": 2, **(batches or {})}
        self.poison = poison
        self.seen: list[tuple[str, int]] = []

    @property
    def task(self) -> Task:
        return TASK

    def sizes(self) -> Mapping[Split, int]:
        return {"weights": 4 * self.counts["weights"], "arch": 4 * self.counts["arch"]}

    def batches(self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None):
        self.seen.append((split, epoch))
        generator = torch.Generator().manual_seed(derive_seed(0, split, epoch))
        for index in range(self.counts[split]):
            labels = torch.randint(3, (4,), generator=generator)
            images = torch.randn(4, 3, 8, 8, generator=generator) + labels.view(-1, 1, 1, 1)
            yield (images * float("nan") if index == self.poison else images), labels

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        return self.counts[split]


def make_context(
    distiller: Distiller[Any] | None = None,
    data: TinyData | None = None,
    report: Callable[[Mapping[str, float]], None] = lambda values: None,
    space: NetworkSpace[Any] | None = None,
) -> Context:
    def no_slot(name: str) -> Any:
        raise AssertionError("a gradient search needs no slot")

    return Context(
        space=space or TinySpace(PluginConfig()),
        runtime=Runtime.create("cpu"),
        seed=0,
        stage="search",
        slot=no_slot,
        report=report,
        data=data or TinyData(),
        distiller=distiller,
    )
