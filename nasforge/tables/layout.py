"""The layout of a user's table of results: which columns hold architectures, metrics, budgets and seeds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from nasforge.errors import suggest
from nasforge.space import SearchSpace

__all__ = ["Direction", "TableLayout", "TableMetric"]

Direction = Literal["max", "min"]

RESERVED = ("score", "seconds", "valid", "test")
"""Names that a metric cannot have: they mean something else in tables and evaluations."""


@dataclass(frozen=True)
class TableMetric:
    """A number that a table holds about every architecture.

    Attributes:
        name: Its name in evaluations, objectives and limits.
        column: The column, or a pattern that fits several: ``{budget}`` and ``{seed}`` stand for whole
            numbers in their names.
        direction: Whether higher or lower values are better.
        dataset: The dataset it was measured on; None if the table is about one.
    """

    name: str
    column: str
    direction: Direction
    dataset: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[DATASET/]NAME[=COLUMN]:max`` or ``…:min``; without a column, it has the name of the metric.

        Raises:
            ValueError: The text is something else.
        """
        start, _, direction = text.rpartition(":")
        name, written, column = start.partition("=")
        dataset, has_dataset, short = name.rpartition("/")
        if direction not in ("max", "min"):
            raise ValueError(
                f"{text!r} does not say whether higher is better. Write {text.rstrip(':')}:max or "
                f"{text.rstrip(':')}:min."
            )
        if (written and not column) or (has_dataset and not dataset):
            raise ValueError(f"{text!r}: write NAME:{direction} or NAME=COLUMN:{direction}.")
        for part in (short, *([dataset] if has_dataset else ())):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", part):
                raise ValueError(f"{text!r}: {part!r} is not a name. Use letters, digits, '_', '.' and '-'.")
        if short in RESERVED:
            raise ValueError(
                f"{text!r}: the name {short!r} is reserved. Choose another one, such as {short}_accuracy: "
                f"write {short}_accuracy={column or name}:{direction}."
            )
        return cls(short, column or name, "max" if direction == "max" else "min", dataset or None)


@dataclass(frozen=True)
class TableLayout:
    """How to read a table of any space.

    Attributes:
        space: The space that parses the architectures.
        space_name: Name of its plugin.
        options: Options of the space, for people who read the description of the table.
        arch: The column of the architectures, in any notation that ``space.parse`` reads.
        metrics: The metrics; the first one is the default score.
        seconds: The columns of the costs, by dataset; patterns are allowed as in `TableMetric.column`.
        budget: A column of budgets, for tables with a row per architecture and budget.
        seed: A column of training seeds, for tables with a row per architecture and seed.
        missing: Texts in place of a value that is not known, such as ``""`` or ``"-1"``.
    """

    space: SearchSpace[Any]
    space_name: str
    arch: str
    metrics: tuple[TableMetric, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str | None, str] = field(default_factory=dict)
    budget: str | None = None
    seed: str | None = None
    missing: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """Return the problems of the layout itself, before a file is read."""
        found = [] if self.metrics else ["no metric is named. Write --metric NAME:max or --metric NAME:min."]
        names = [(metric.dataset, metric.name) for metric in self.metrics]
        found += [f"metric {name!r} is named twice." for (_, name), n in Counter(names).items() if n > 1]
        datasets = {dataset for dataset, _ in names}
        if None in datasets and len(datasets) > 1:
            found.append("some metrics name a dataset and others do not. Write DATASET/NAME for all or none.")
        for dataset in self.seconds:
            if datasets and dataset not in datasets:
                known = suggest(dataset or "", [d for d in datasets if d])
                found.append(
                    f"--seconds: {dataset!r} is not a dataset of the metrics.{known}"
                    if dataset
                    else f"--seconds: write DATASET=COLUMN, as the metrics name datasets.{known}"
                )
        return found
