"""Score architectures by a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from nasforge.arch import Arch
from nasforge.component import Context, Work
from nasforge.errors import RunError
from nasforge.evaluator import Effort, Evaluation, ParallelEvaluator
from nasforge.seeding import derive_seed
from nasforge.space import SearchSpace, TabularSpace
from nasforge_plugins.evaluators.tabular.config import TabularConfig
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.imports import describe_table, import_table, list_tables
from nasforge_plugins.evaluators.tabular.layout import choices_checksum
from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.evaluators.tabular.table import Table

__all__ = ["Tabular"]


class Tabular(ParallelEvaluator[TabularConfig]):
    """Reads metrics from a table; a look-up costs the seconds that the training would have.

    `evaluate` reads no metric whose name starts with "test". `test` needs a table with test accuracies, which
    the user imports.
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
        self.table = load(self.config.table)
        _check_space(self.config.table, self.table, ctx.space)
        self.dataset = self.config.dataset or self.table.datasets[0]
        self.score = self.config.score or self.table.score(self.dataset)
        if self.score.startswith("test"):
            raise TableError(
                f"evaluator.score: {self.score!r} may not guide a search. Choose another metric."
            )
        lengths = self.table.epochs(self.dataset, self.score)
        self.epochs = self.config.epochs or (lengths[-1] if lengths else None)
        self._sign = -1.0 if self.table.direction(self.dataset, self.score) == "min" else 1.0
        self._known: dict[int | None, dict[str, float] | None] = {}
        self._check_seed(self.epochs)

    def check_budget(self, budget: int) -> None:
        """Refuse budgets that the table lacks.

        Raises:
            TableError: See `evaluate`.
        """
        self._check_seed(budget)

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Look up the metrics.

        Args:
            arch: An architecture of the space.
            budget: The budget, such as epochs; None takes the option `epochs`.

        Raises:
            TableError: The table has no such budget.
            RunError: It does not hold this architecture, or a metric of it.
        """
        epochs = self.epochs if budget is None else budget
        self.table.column(self.dataset, self.score, epochs)
        row = self._row(arch)
        metrics = self._metrics(row, epochs)
        if row is None or metrics is None:
            raise RunError(f"table {self.config.table!r}: {self._describe_missing(row, epochs)}")
        seconds = float(self.table.seconds(self.dataset, epochs)[row])
        return Evaluation(arch, self._sign * metrics[self.score], seconds, metrics)

    def known_metrics(self, arch: Arch) -> Mapping[str, float] | None:
        """Return the metrics at the default budget; None if the table lacks the score or a required one."""
        if (row := self._row(arch)) not in self._known:
            self._known[row] = self._metrics(row, self.epochs)
        return self._known[row]

    def workload(self, arch: Arch, effort: Effort) -> Sequence[Work]:
        """Return a look-up."""
        return [Work("look-ups", 1, lambda: self.evaluate(arch, budget=effort.budget))]

    def test(self, arch: Arch) -> Mapping[str, float]:
        """Look up the mean test accuracy.

        Raises:
            TableError: The table has no test accuracies.
            RunError: It does not hold this architecture.
        """
        if (row := self._row(arch)) is None:
            raise RunError(f"table {self.config.table!r}: {self._describe_missing(row, self.epochs)}")
        lengths = self.table.epochs(self.dataset, "test")
        epochs = self.epochs if lengths or not self.table.metrics(self.dataset).get("test_accuracy") else None
        return {"test_accuracy": float(self.table.accuracy(self.dataset, "test", epochs)[row])}

    def _row(self, arch: Arch) -> int | None:
        space = self.ctx.space
        if self.table.has_digits:
            return self.table.find(cast("TabularSpace", space).table_key(arch))
        return self.table.find(space.canonical(arch).key)

    def _metrics(self, row: int | None, epochs: int | None) -> dict[str, float] | None:
        if row is None:
            return None
        found = self.table.facts(self.dataset, row, epochs, self._run(row, epochs))
        return found if self.score in found and all(name in found for name in self.config.require) else None

    def _run(self, row: int, epochs: int | None) -> int | None:
        """Return the index of the training seed of a row; None for the mean of all."""
        seed = self.config.seed
        if seed == "mean":
            return None
        if seed != "random":
            return self.table.seeds.index(seed)
        known = np.flatnonzero(~np.isnan(self.table.runs(self.dataset, self.score, epochs)[row]))
        if not len(known):
            return None
        # One draw per architecture and run of nasforge: a pure function, so a resumed search sees the same.
        draw = derive_seed(self.ctx.seed, "tabular", self.table.key(row), str(epochs))
        return int(known[draw % len(known)])

    def _describe_missing(self, row: int | None, epochs: int | None) -> str:
        """Return what a table lacks, in words."""
        if row is None:
            return "it does not hold this architecture. Searchers propose only those that it holds."
        found = self.table.facts(self.dataset, row, epochs)
        absent = [name for name in (self.score, *self.config.require) if name not in found]
        return f"{self.table.notation(row)} has no {' and no '.join(map(repr, absent))}."

    def _check_seed(self, epochs: int | None) -> None:
        dataset, seed, score = self.dataset, self.config.seed, self.score
        if seed in ("mean", "random"):
            self.table.column(dataset, score, epochs)
        if seed == "random" and self.table.runs(dataset, score, epochs).shape[1] == 1:
            raise TableError(
                f"evaluator.seed: 'random' needs single runs, but table {self.config.table!r} has only "
                f"means of {dataset} after {epochs} epochs."
            )
        if isinstance(seed, int):
            values = self.table.accuracy(dataset, score, epochs, seed)
            known = ~np.isnan(self.table.accuracy(dataset, score, epochs))
            if missing := int(np.isnan(values[known]).sum()):
                raise TableError(
                    f"evaluator.seed: {missing} of {len(self.table)} architectures have no run with seed "
                    f"{seed}. Write 'mean', 'random' or another seed."
                )


def _check_space(name: str, table: Table, space: SearchSpace[Any]) -> None:
    """Check that a table is about the architectures of a space."""
    if not table.has_digits:
        if table.meta.get("choices") != choices_checksum(space.choices):
            raise TableError(
                f"table {name!r}: it lists architectures of {table.space!r} with other choices than those of "
                f"{type(space).__name__} here. Use the space and the options that it was imported with "
                f"('nasforge tables show {name}'), or import it again."
            )
        return
    if not isinstance(space, TabularSpace):
        raise TableError(
            f"evaluator 'tabular': table {name!r} lists architectures of {table.space!r}, and "
            f"{type(space).__name__} has no tables. Import one with 'nasforge tables import FILE --space …'."
        )
    if table.space != space.table_space:
        raise TableError(
            f"table {name!r}: it lists architectures of {table.space!r}, not of {space.table_space!r}."
        )
