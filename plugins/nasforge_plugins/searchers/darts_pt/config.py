"""Options of DARTS-PT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from nasforge.config import PluginConfig
from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["PRESETS", "DartsPtConfig", "SelectionOptions"]

PRESETS: Mapping[str, Mapping[str, bool]] = {
    "clean": {"restart": False, "by_position": False, "early_end": False},
    "official": {"restart": True, "by_position": True, "early_end": True},
}
"""Values that each preset fills into the sub-table `selection` where the recipe is silent."""


class SelectionOptions(PluginConfig):
    """Training between decisions, how removals are compared, and the known quirks of the published code.

    The preset decides the quirks.
    """

    epochs: NonNegativeInt = 5
    """Epochs that the supernet trains on after each step of the selection, but one after the last (the
    published scripts: 5)."""

    lr: PositiveFloat = 2.5e-3
    """Learning rate of these epochs, constant: a tenth of the search's first one."""

    criterion: Literal["accuracy", "loss"] = "accuracy"
    """The score on the arch split that tells what a removal costs."""

    restart: bool = False
    """Judge each edge of a node with all other edges present, those already removed included (official)."""

    by_position: bool = False
    """Settle equal scores by position: the first operation is kept, the last edge removed (official). False
    compares the loss, or the accuracy if the loss is the criterion."""

    early_end: bool = False
    """In a space without choices of edges, make the last decision one epoch early (official)."""


class DartsPtConfig(GradientConfig):
    """The search of DARTS, then the selection of Wang et al. (ICLR 2021).

    A step of the selection decides one choice in each type of cell.
    """

    moved_options: ClassVar[Mapping[str, str]] = {
        **GradientConfig.moved_options,
        "tune_epochs": "selection.epochs",
        "tune_lr": "selection.lr",
    }

    preset: Literal["clean", "official"] = "clean"
    """Defaults of the quirks: "official" selects as the published code does, "clean" as its authors
    describe."""

    selection: SelectionOptions = Field(default_factory=SelectionOptions)
    """Training between decisions, how removals are compared, and the known quirks of the published code."""

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        preset, selection = data.get("preset", "clean"), data.get("selection", {})
        if not isinstance(preset, str) or not isinstance(selection, Mapping):
            return data
        return {**data, "selection": {**PRESETS.get(preset, {}), **selection}}

    @model_validator(mode="after")
    def _check_selection(self) -> Self:
        if self.stages.epochs:
            raise ValueError(
                f"stages.epochs = {list(self.stages.epochs)}: the selection needs a supernet with all of its "
                "options; set epochs = []"
            )
        return self
