"""Options of the tabular evaluator."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, field_validator

from nasforge.config import EvaluatorConfig


class TabularConfig(EvaluatorConfig):
    """Options of the table and of the numbers that score an architecture."""

    table: str = "nasbench201"
    """Name of the table, as `nasforge tables list` prints it, or the path of a table file."""

    dataset: Literal["cifar10", "cifar100", "imagenet16-120"] = "cifar10"
    """The images that the architectures of the table were trained on."""

    epochs: PositiveInt = 200
    """Length of the training that is looked up when a search asks for no other. The table inside nasforge has
    200 epochs; imported tables may have 12."""

    seed: Literal["mean", "random", 777, 888, 999] = "mean"
    """Training run that scores: "mean" averages all runs of an architecture, a number takes the run of that
    seed, "random" draws one run per architecture from the seed of the search."""

    @field_validator("table")
    @classmethod
    def _exists(cls, table: str) -> str:
        if table != "nasbench201":  # that one is always there
            from nasforge_plugins.evaluators.tabular.errors import TableError
            from nasforge_plugins.evaluators.tabular.store import path_of

            try:
                path_of(table)
            except TableError as error:
                raise ValueError(str(error)) from None
        return table

    def reports(self) -> frozenset[str] | None:
        """Return what the table knows; None if it cannot be read, which the evaluator says better."""
        from nasforge_plugins.evaluators.tabular.errors import TableError
        from nasforge_plugins.evaluators.tabular.store import described

        try:
            return frozenset({"valid_accuracy"}) | described(self.table, self.dataset)
        except TableError:
            return None
