"""Small searches and trainings of every kind, whose steps two devices can make alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.steps import Setting, build_context, draw_batches
from nasforge.component import Context
from nasforge.plugins import Registry
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.evaluators.supernet.config import SupernetConfig
from nasforge_plugins.evaluators.supernet.training import SupernetTraining
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.training import Training
from nasforge_plugins.searchers.gradient.supernet import SupernetSearcher

__all__ = ["DRAWING", "KINDS", "Subject", "build_subject"]

SPACES: Mapping[str, Mapping[str, Any]] = {
    "nasbench201": {"search_channels": 8, "eval_channels": 8, "channels": 8},
    "darts": {"search_channels": 8, "eval_channels": 8, "channels": 8},
    "chain": {},
    "vit": {},
}
"""Options over the tiny sizes of each space."""

SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "cdarts": {"iterations": 3, "warmup_epochs": 0, "penalty": {"coefficient": 1.0}},
    "darts": {},
    "darts, order 2": {"order": 2},
    "gdas": {},
    "drnas": {},
    "pc-darts": {"partial_channels": 2},
    "fair-darts": {},
    "beta-darts": {},
    "sdarts": {},
    "sdarts, adversarial": {"perturbation": {"kind": "adversarial", "steps": 1}},
    "darts-pt": {},
}
"""Options of the searchers by gradients, over their presets."""

KINDS = (
    *((search, space) for search in SEARCHES for space in ("nasbench201", "darts", "chain")),
    *(("spos", space) for space in ("nasbench201", "darts", "chain", "vit")),
    *(("train", space) for space in ("nasbench201", "darts", "chain", "vit")),
)
"""Searcher and space of every row."""

DRAWING = frozenset({"gdas"})
"""Searchers that bring to the processor which operations they drew: that waits for the GPU."""


@dataclass(frozen=True)
class Subject:
    """A search or a training.

    Attributes:
        step: Makes one step of it; returns its losses.
        parts: Returns everything with weights; a state that is loaded may replace it.
        constants: Further tensors that a step reads: images, and option weights that are not learned.
        save: Returns the state as a copy.
        load: Restores a state.
    """

    step: Callable[[], list[Tensor]]
    parts: Callable[[], nn.Module]
    constants: list[dict[Any, Any]]
    save: Callable[[], Any]
    load: Callable[[Any], None]

    def to_float64(self) -> None:
        """Convert weights and constants; the optimisers keep their parameters."""
        self.parts().double()
        for mapping in self.constants:
            for key, value in mapping.items():
                mapping[key] = _doubled(value)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all weights by name."""
        yield from self.parts().named_parameters()


def build_subject(searcher: str, space: str, runtime: Runtime, plain: bool, batch: int) -> Subject:
    """Build a search or training from the seed 0.

    Args:
        searcher: A key of `SEARCHES`, ``"spos"`` or ``"train"``.
        space: A key of `SPACES`.
        runtime: Where and how.
        plain: Compute by plain modules where the space has both ways.
        batch: Images per step.
    """
    plugin = Registry.discover().get("space", space)
    options = {**plugin.tiny, **SPACES[space]}
    if "execution" in plugin.config.model_fields:
        options["execution"] = "reference" if plain else "fast"
    built: NetworkSpace[Any] = plugin.load()(plugin.config(**options))
    setting = Setting(runtime, reference=False, batch=batch, image_size=16)
    torch.manual_seed(0)
    if searcher in SEARCHES:
        return _search(searcher, built, setting)
    return _training(searcher, built, setting)


def _search(name: str, space: NetworkSpace[Any], setting: Setting) -> Subject:
    plugin = Registry.discover().get("searcher", name.split(",")[0])
    given = {"warmup_epochs": 0, **({} if name == "cdarts" else {"epochs": 3}), **SEARCHES[name]}
    searcher = plugin.load()(plugin.config(**given))
    assert isinstance(searcher, SupernetSearcher)
    distiller = StagesDistiller(StagesConfig.model_validate({})) if name == "cdarts" else None
    searcher.setup(build_context(space, setting, distiller=distiller))
    if searcher.twin is not None:
        searcher.twin.rebuild(space.sample(Random(1)))
    batches = draw_batches(searcher.data, setting)

    def step() -> list[Tensor]:
        searcher.collect_parts().train()
        found = searcher.step_arch(*batches["arch"], batches["weights"])
        found |= searcher.step_search(*batches["weights"])
        return [value.detach() for name, value in found.items() if name.endswith("loss")]

    def load(state: Any) -> None:
        searcher.load_state_dict(deepcopy(state))

    constants: list[dict[Any, Any]] = [batches, searcher.constant_weights]
    return Subject(step, searcher.collect_parts, constants, lambda: deepcopy(searcher.state_dict()), load)


def _training(name: str, space: NetworkSpace[Any], setting: Setting) -> Subject:
    context: Context = build_context(space, setting, stage="search" if name == "spos" else "train")
    training: SupernetTraining | Training
    if name == "spos":
        config = SupernetConfig.model_validate({"batch_size": setting.batch, "epochs": 3})
        training = SupernetTraining(config, context, space)
        training.begin_epoch(0)
    else:
        options = TrainConfig.model_validate({"batch_size": setting.batch, "epochs": 3, "cutout": 0})
        training = Training(options, context, space.sample(Random(1)), epochs=3)
        training.augmentation.start(0)
    batches = draw_batches(training.data, setting)

    def step() -> list[Tensor]:
        return [training.step(*batches["weights"])[0].detach()]

    def save() -> Any:
        draws = training.draws() if isinstance(training, SupernetTraining) else {}
        return deepcopy({"state": training.state_dict(), "draws": draws})

    def load(state: Any) -> None:
        training.load_state_dict(deepcopy(state["state"]))
        if isinstance(training, SupernetTraining):
            training.load_draws(state["draws"])

    return Subject(step, lambda: nn.ModuleDict(training.modules), [batches], save, load)


def _doubled(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_doubled, value))
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
