"""A space, images and slots small enough to train a network in a moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.component import Context, Stage
from nasforge.config import PluginConfig
from nasforge.data import DataModule, Split
from nasforge.images import Preprocessing
from nasforge.nn import ChoiceBlock, DropPath, FeatureInfo, Network, OptionWeights, Output
from nasforge.runs.slots import FileSlot
from nasforge.runtime import Runtime
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace, Scale, Task

ARCH = Arch({"layer": "conv3"})
CHANNELS = 6


def convolution(option: str) -> nn.Module:
    if option == "skip":
        return nn.Identity()
    size = int(option[-1])
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, size, padding=size // 2), nn.BatchNorm2d(CHANNELS)
    )


class TinyNetwork(Network):
    def __init__(self, choice: Choice, task: Task, arch: Arch | None) -> None:
        super().__init__()
        self.feature_info = (FeatureInfo(CHANNELS, 1),)
        self.stem = nn.Conv2d(task.in_channels, CHANNELS, 3, padding=1, bias=False)
        self.layer = ChoiceBlock(choice, convolution, arch)
        self.drop = DropPath()
        self.head = nn.Linear(CHANNELS, task.num_classes)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        stem = self.stem(x)
        feature = stem + self.drop(self.layer(stem, weights))
        return Output(self.head(feature.mean((2, 3))), (feature,))


class TinySpace(NetworkSpace[PluginConfig]):
    @property
    def choices(self) -> tuple[Choice, ...]:
        return (Choice("layer", ("conv3", "conv1", "skip")),)

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        return TinyNetwork(self.choices[0], task, arch)


class AuxiliarySpace(TinySpace):
    def build_auxiliary(self, task: Task) -> tuple[nn.Module, int]:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, task.num_classes)), 0


class Interrupted(Exception):
    """Stands for a kill in the middle of an epoch."""


class TinyData(DataModule[PluginConfig]):
    """Images whose class shows in their colour; stops at batch ``fail[1]`` of epoch ``fail[0]``."""

    def __init__(self, select: int = 0, fail: tuple[int, int] | None = None, classes: int = 3) -> None:
        super().__init__(PluginConfig())
        self._sizes: dict[Split, int] = {"weights": 24, "arch": 12, "select": select, "test": 18}
        self._sizes["full"] = 36 + select
        self.fail = fail
        self.classes = classes
        self.read: list[str] = []
        self.poison: tuple[int, int] | None = None

    @property
    def task(self) -> Task:
        return Task(3, 8, self.classes)

    @property
    def preprocessing(self) -> Preprocessing | None:
        return Preprocessing(
            size=(8, 8), channels="rgb", mean=(0.49, 0.48, 0.45), deviation=(0.2, 0.21, 0.23)
        )

    def sizes(self) -> Mapping[Split, int]:
        return self._sizes

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        return -(-self._sizes[split] // (batch_size or 8))

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        self.read.append(split)
        size = self._sizes[split]
        generator = torch.Generator().manual_seed(derive_seed(0, split))
        labels = torch.arange(size) % self.classes
        images = 0.4 * torch.randn(size, 3, 8, 8, generator=generator)
        images[torch.arange(size), labels % 3] += 1.0
        shuffle = torch.Generator().manual_seed(derive_seed(0, split, epoch))
        order = torch.randperm(size, generator=shuffle) if augment else torch.arange(size)
        for number, rows in enumerate(order.split(batch_size or 8), 1):
            if augment and self.fail == (epoch, number):
                raise Interrupted
            batch = images[rows]
            if augment and self.poison == (epoch, number):
                batch = batch * float("nan")
            yield batch, labels[rows]


def context(
    folder: Path, data: TinyData | None = None, stage: Stage = "train", seed: int = 0, **parts: Any
) -> Context:
    settings: dict[str, Any] = {
        "space": TinySpace(PluginConfig()),
        "runtime": Runtime(torch.device("cpu")),
        "report": lambda values: None,
        "record": lambda epoch, values: None,
        **parts,
    }
    return Context(
        seed=seed,
        stage=stage,
        slot=lambda name: FileSlot(folder, name),
        data=TinyData() if data is None else data,
        **settings,
    )


def _leaves(state: Any, at: str = "") -> dict[str, Any]:
    """Return the leaves of a state by path, without what a clock measured."""
    if isinstance(state, dict):
        return {k: v for n, s in state.items() if n != "seconds" for k, v in _leaves(s, f"{at}/{n}").items()}
    if isinstance(state, list):
        return {k: v for n, s in enumerate(state) for k, v in _leaves(s, f"{at}/{n}").items()}
    return {at: state}


def assert_same(left: Any, right: Any) -> None:
    """Compare two states bit by bit, without what a clock measured."""
    left, right = _leaves(left), _leaves(right)
    assert left.keys() == right.keys()
    for path, value in left.items():
        same = torch.equal(value, right[path]) if isinstance(value, Tensor) else value == right[path]
        assert same, f"{path} differs"
