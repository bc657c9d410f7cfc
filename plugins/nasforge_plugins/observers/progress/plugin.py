"""Describes the observer to nasforge."""

from nasforge.observer import TerminalObserver
from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.observers.progress.config import ProgressConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the observer of this folder."""
    return [
        Plugin(
            "observer",
            "progress",
            "nasforge_plugins.observers.progress.observer:Progress",
            ProgressConfig,
            "Progress bars with metrics and time left in a terminal, lines elsewhere",
            provides=frozenset({TerminalObserver}),
        )
    ]
