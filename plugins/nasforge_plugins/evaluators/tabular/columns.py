"""Names of the columns of a table: image set, metric and budget."""

from __future__ import annotations

__all__ = ["METRICS", "NO_DATASET", "STORED_NAMES", "Column", "name_column", "split_column"]

Column = tuple[str, str, int | None]
"""Data set, metric and budget of a column."""

STORED_NAMES = {"valid_accuracy": "valid", "test_accuracy": "test"}
"""Metrics that columns call something shorter."""

METRICS = {stored: metric for metric, stored in STORED_NAMES.items()}

NO_DATASET = "-"
"""Stands for the data set of a table that is about one."""


def name_column(dataset: str | None, metric: str, budget: int | None) -> str:
    """Return the name of a column.

    Args:
        dataset: Name of the image set; None for a table that is about one.
        metric: Name of the metric.
        budget: The budget, such as epochs; None for a metric that does not depend on one.
    """
    name = f"{dataset or NO_DATASET}/{STORED_NAMES.get(metric, metric)}"
    return name if budget is None else f"{name}/{budget}"


def split_column(name: str) -> Column:
    """Return data set, metric and budget of the name of a column."""
    dataset, stored, budget = [*name.split("/"), ""][:3]
    return dataset, METRICS.get(stored, stored), int(budget) if budget else None
