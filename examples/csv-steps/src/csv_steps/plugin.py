"""Describes the observer to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl

from csv_steps.config import CsvStepsObserverConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "observer",
            "csv-steps",
            "csv_steps.observer:CsvStepsObserver",
            CsvStepsObserverConfig,
            "Writes every step as a row of a CSV file",
            api=1,
        )
    ]
