"""Describes the observer to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.templates.observer.config import TemplateObserverConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "observer",
            "template-observer",
            "nasforge.plugins.templates.observer.observer:TemplateObserver",
            TemplateObserverConfig,
            "Writes notes about steps and results into a text file",
            api=1,
        )
    ]
