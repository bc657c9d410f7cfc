"""A table of scores to search, and how to stop and resume a searcher after every step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch

from nasforge.arch import Arch, Choice
from nasforge.component import Context, Slot
from nasforge.config import PluginConfig
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import Searcher
from nasforge.space import SearchSpace

S = TypeVar("S", bound=Searcher)  # type: ignore[type-arg]


class ToySpace(SearchSpace[PluginConfig]):
    """``digits`` choices of ``base`` options: ``base ** digits`` architectures."""

    def __init__(self, digits: int = 10, base: int = 4) -> None:
        super().__init__(PluginConfig())
        self._choices = tuple(Choice(f"c{i}", tuple("abcdefgh"[:base])) for i in range(digits))

    @property
    def choices(self) -> tuple[Choice, ...]:
        return self._choices


class Table(Evaluator[PluginConfig]):
    """Scores by a formula with interactions, and remembers who asked."""

    def __init__(self) -> None:
        super().__init__(PluginConfig())
        self.asked: list[Arch] = []

    def score(self, arch: Arch) -> float:
        digits = ["abcdefgh".index(arch[name][0]) for name in arch]
        pairs = sum((a * b + 1) % 5 for a, b in pairwise(digits))
        return sum(digits) + 0.5 * pairs

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        self.asked.append(arch)
        return Evaluation(arch, self.score(arch), 1.0, {"budget": float(budget or 0)})


def _no_slot(name: str) -> Slot:
    raise AssertionError("these searchers need no slot")


def searcher_context(
    evaluator: Evaluator[PluginConfig] | None = None,
    seed: int = 0,
    space: SearchSpace[PluginConfig] | None = None,
) -> Context:
    return Context(
        space=space or ToySpace(),
        runtime=Runtime(torch.device("cpu")),
        seed=seed,
        stage="search",
        slot=_no_slot,
        report=lambda values: None,
        record=lambda epoch, values: None,
        evaluator=evaluator,
    )


def run(searcher: S) -> S:
    while not searcher.done:
        searcher.step()
        searcher.best()
    return searcher


def resumed_after_every_step(make: Callable[[], S], folder: Path) -> S:
    """Make every step in a searcher of its own, which starts from the file that the one before left."""
    path = folder / "searcher.safetensors"
    while True:
        searcher = make()
        if (state := checkpoint.load(path)) is not None:
            searcher.load_state_dict(state)
        if searcher.done:
            return searcher
        searcher.step()
        checkpoint.save(path, searcher.state_dict())
