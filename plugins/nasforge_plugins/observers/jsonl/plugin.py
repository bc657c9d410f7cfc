"""Describes the observer to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.observers.jsonl.config import JsonLinesConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the observer of this folder."""
    return [
        Plugin(
            "observer",
            "jsonl",
            "nasforge_plugins.observers.jsonl.observer:JsonLines",
            JsonLinesConfig,
            "Append every event of a run or bench to a file, as a line of JSON",
        )
    ]
