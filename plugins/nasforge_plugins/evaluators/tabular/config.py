"""Options of the tabular evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from nasforge.config import EvaluatorConfig
from nasforge.errors import suggest
from nasforge.space import TabularSpace

T = TypeVar("T")


class TabularConfig(EvaluatorConfig):
    """Options of the table and of the numbers that score an architecture."""

    table: str = "nasbench201"
    """Name of the table, as `nasforge tables list` prints it, or the path of a table file."""

    dataset: str | None = None
    """The data set that the architectures of the table were trained on, such as "cifar10"; None for the first
    one of the table."""

    score: str | None = None
    """The metric to search for. None: "valid_accuracy", or the first metric that was imported. A metric for
    which lower is better scores with a minus."""

    epochs: PositiveInt | None = None
    """The budget, such as epochs of training, that is looked up when a search asks for no other; None for the
    largest one of the table."""

    seed: Literal["mean", "random"] | NonNegativeInt = "mean"
    """Training run that scores: "mean" averages all runs of an architecture, a number takes the run of that
    seed, "random" draws one run per architecture from the seed of the search."""

    require: tuple[str, ...] = ()
    """Metrics that an architecture must have, besides the score: a search proposes no others. Name the
    objectives that the table does not know of every architecture."""

    @field_validator("table")
    @classmethod
    def _exists(cls, table: str) -> str:
        if table != "nasbench201":  # that one is always there
            from nasforge_plugins.evaluators.tabular.errors import TableError
            from nasforge_plugins.evaluators.tabular.store import datasets

            try:
                datasets(table)
            except TableError as error:
                raise ValueError(str(error)) from None
        return table

    @field_validator("dataset")
    @classmethod
    def _has_dataset(cls, dataset: str | None, info: ValidationInfo) -> str | None:
        if dataset is not None and "table" in info.data:
            from nasforge_plugins.evaluators.tabular.columns import NO_DATASET
            from nasforge_plugins.evaluators.tabular.store import datasets

            known = _read(lambda: datasets(info.data["table"]))
            if known == [NO_DATASET]:
                raise ValueError("the table is about one data set. Leave this option out")
            if known is not None and dataset not in known:
                raise ValueError(f"{dataset!r} is not in the table.{suggest(dataset, known)}")
        return dataset

    @field_validator("score", "require")
    @classmethod
    def _has_metrics(cls, value: Any, info: ValidationInfo) -> Any:
        if value and "table" in info.data and "dataset" in info.data:
            from nasforge_plugins.evaluators.tabular.store import described

            known = _read(lambda: described(info.data["table"], info.data["dataset"]))
            for name in (value,) if isinstance(value, str) else value:
                if known is not None and name not in known and not name.startswith("test"):
                    raise ValueError(f"{name!r} is not in the table.{suggest(name, known)}")
        return value

    def option_needs(self) -> Mapping[str, type]:
        """Return what the table inside nasforge needs: a space whose architectures it lists."""
        return {"table": TabularSpace} if self.table == "nasbench201" else {}

    def file_checksums(self) -> Mapping[str, str]:
        """Return the checksum of an imported table; the one inside nasforge does not change."""
        from nasforge_plugins.evaluators.tabular.archive import stored_checksum
        from nasforge_plugins.evaluators.tabular.store import SHIPPED, path_of

        return {} if self.table in SHIPPED else {"table": stored_checksum(path_of(self.table))}

    def reports(self) -> frozenset[str] | None:
        """Return what the table knows; None if it cannot be read, which the evaluator says better."""
        from nasforge_plugins.evaluators.tabular.store import described

        return _read(lambda: described(self.table, self.dataset))


def _read(names: Callable[[], T]) -> T | None:
    """Return names that a table holds; None if it cannot be read, which the evaluator says better."""
    from nasforge_plugins.evaluators.tabular.errors import TableError

    try:
        return names()
    except TableError:
        return None
