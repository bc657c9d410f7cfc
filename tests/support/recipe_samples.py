"""Light plugins for tests of recipes: they describe themselves, and nothing can be built from them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from nasforge.config import PluginConfig
from nasforge.plugins import Plugin, Registry
from nasforge.space import NetworkSpace


class DataOptions(PluginConfig):
    root: Path | None = None
    rotate: int = 0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)


class SpaceOptions(PluginConfig):
    cells: int = Field(8, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    stem: Literal["cifar", "imagenet"] = "cifar"
    channels: list[int] = [16]  # noqa: RUF012
    shared: bool = True


class TrainOptions(PluginConfig):
    epochs: int = 50
    warmup: int = 0
    decay: float | Literal["by_size"] = 0.0

    @model_validator(mode="after")
    def _warmup_fits(self) -> "TrainOptions":
        if self.warmup > self.epochs:
            raise ValueError("warmup is longer than epochs")
        return self


class DistillOptions(PluginConfig):
    temperature: float = Field(4.0, gt=0)


class FileOptions(PluginConfig):
    file: str


class CsvOptions(PluginConfig):
    path: Path = Path("steps.csv")
    every: int = Field(1, ge=1)


def plugin(kind, name, config=PluginConfig, needs=(), provides=()):
    return Plugin(
        kind,
        name,
        f"nowhere:{name.title()}",
        config,
        "",
        frozenset(needs),
        frozenset(provides),
        origin="tests 1",
    )


REGISTRY = Registry(
    [
        plugin("data", "toys", DataOptions),
        plugin("data", "files", FileOptions),
        plugin("space", "cells", SpaceOptions, provides={NetworkSpace}),
        plugin("space", "chain", provides={NetworkSpace}),
        plugin("space", "table"),
        plugin("searcher", "mutual", TrainOptions, needs={"data", "distiller", NetworkSpace}),
        plugin("searcher", "random", TrainOptions, needs={"evaluator"}),
        plugin("searcher", "fixed"),
        plugin("distiller", "logits", DistillOptions),
        plugin("distiller", "stages", needs={NetworkSpace}),
        plugin("evaluator", "train", TrainOptions, needs={"data"}),
        plugin("evaluator", "teach", TrainOptions, needs={"distiller"}),
        plugin("evaluator", "lookup"),
        plugin("observer", "bars"),
        plugin("observer", "csv", CsvOptions),
        plugin("observer", "mail", FileOptions),
        plugin("observer", "samples", needs={"data"}),
    ]
)

GOOD = """\
[data]
use = "toys"
[space]
use = "cells"
[searcher]
use = "fixed"
"""
