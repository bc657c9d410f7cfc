"""Score architectures by a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from nasforge.arch import Arch
from nasforge.component import Context, Work
from nasforge.evaluator import Effort, Evaluation, ParallelEvaluator
from nasforge.seeding import derive_seed
from nasforge.space import TabularSpace
from nasforge_plugins.evaluators.tabular.config import TabularConfig
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.imports import describe_table, import_table, list_tables
from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.evaluators.tabular.table import Split

__all__ = ["Tabular"]


class Tabular(ParallelEvaluator[TabularConfig]):
    """Reads validation accuracies from a table; a look-up costs the seconds that the training would have.

    `evaluate` reads validation columns only. `test` needs a table with test accuracies, which the user
    imports.
    """

    # What `nasforge tables` calls, for every evaluator that provides `TableStore`.
    import_table = staticmethod(import_table)
    list_tables = staticmethod(list_tables)
    describe_table = staticmethod(describe_table)

    def setup(self, ctx: Context) -> None:
        """Load the table.

        Raises:
            TableError: It does not exist, belongs to another space, or lacks what the options ask for.
        """
        super().setup(ctx)
        if not isinstance(ctx.space, TabularSpace):
            raise TableError(
                f"evaluator 'tabular': {type(ctx.space).__name__} has no tables. Use a space that has "
                "('nasforge plugins list'), or another evaluator."
            )
        self.space: TabularSpace = ctx.space
        self.table = load(self.config.table, self.space.table_space)
        self._check_seed(self.config.epochs)

    def check_budget(self, budget: int) -> None:
        """Refuse lengths of training that the table lacks.

        Raises:
            TableError: See `evaluate`.
        """
        self._check_seed(budget)

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Look up the validation accuracy.

        Args:
            arch: An architecture of the space.
            budget: Length of the training in epochs; None takes the option `epochs`.

        Raises:
            TableError: The table has no training of this length.
        """
        row = self.table.row(self.space.table_key(arch))
        epochs = self.config.epochs if budget is None else budget
        accuracy = self._accuracy(row, "valid", epochs)
        facts = self.table.facts(self.config.dataset, row)
        seconds = float(self.table.seconds(self.config.dataset, epochs)[row])
        return Evaluation(arch, accuracy, seconds, {"valid_accuracy": accuracy, **facts})

    def workload(self, arch: Arch, effort: Effort) -> Sequence[Work]:
        """Return a look-up."""
        return [Work("look-ups", 1, lambda: self.evaluate(arch, budget=effort.budget))]

    def test(self, arch: Arch) -> Mapping[str, float]:
        """Look up the mean test accuracy.

        Raises:
            TableError: The table has no test accuracies.
        """
        row = self.table.row(self.space.table_key(arch))
        accuracy = self.table.accuracy(self.config.dataset, "test", self.config.epochs)[row]
        return {"test_accuracy": float(accuracy)}

    def _accuracy(self, row: int, split: Split, epochs: int) -> float:
        dataset, seed = self.config.dataset, self.config.seed
        if seed == "mean":
            return float(self.table.accuracy(dataset, split, epochs)[row])
        self._check_seed(epochs)
        if seed != "random":
            return float(self.table.accuracy(dataset, split, epochs, seed)[row])
        runs = self.table.runs(dataset, split, epochs)[row]
        runs = runs[~np.isnan(runs)]
        # One draw per architecture and run of nasforge: a pure function, so a resumed search sees the same.
        draw = derive_seed(self.ctx.seed, "tabular", self.table.key(row), epochs)
        return float(runs[draw % len(runs)])

    def _check_seed(self, epochs: int) -> None:
        dataset, seed = self.config.dataset, self.config.seed
        runs: Any = self.table.accuracy(
            dataset, "valid", epochs, cast("Any", "mean" if seed == "random" else seed)
        )
        if seed == "random" and self.table.runs(dataset, "valid", epochs).shape[1] == 1:
            raise TableError(
                f"evaluator.seed: 'random' needs single runs, but table {self.config.table!r} has only "
                f"means of {dataset} after {epochs} epochs."
            )
        if missing := int(np.isnan(runs).sum()):
            raise TableError(
                f"evaluator.seed: {missing} of {len(self.table)} architectures have no run with seed {seed}. "
                "Write 'mean', 'random' or another seed."
            )
