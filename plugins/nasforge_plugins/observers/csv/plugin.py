"""Describes the observer to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.observers.csv.config import CsvConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the observer of this folder."""
    return [
        Plugin(
            "observer",
            "csv",
            "nasforge_plugins.observers.csv.observer:Csv",
            CsvConfig,
            "Write the metrics of each stage as a CSV file, for spreadsheets and pandas",
        )
    ]
