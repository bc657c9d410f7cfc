"""Diagnoses of an installation, from the core and from plugins, for ``nasforge doctor``."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nasforge.plugins.plugin import Plugin

__all__ = ["Diagnosis", "State", "diagnose_plugins"]

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Diagnosis:
    """One line of ``nasforge doctor``.

    Attributes:
        subject: The part of the installation that was looked at, such as ``"kernels"``.
        finding: Its state in words, without a full stop.
        state: ``"ok"``; ``"note"`` for a choice the user may want to change, ``"problem"`` for a fault that
            stops runs or makes them wrong.
        remedy: The action to take, as a sentence; empty if there is nothing to do.
    """

    subject: str
    finding: str
    state: State = "ok"
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as JSON data."""
        return asdict(self)


def diagnose_plugins(plugins: Iterable[Plugin]) -> Iterator[Diagnosis]:
    """Run the diagnosis that each plugin names, every function once.

    A diagnosis that raises is a problem of its plugin, and the others still run.

    Args:
        plugins: Their descriptions.
    """
    done: set[str] = set()
    for plugin in plugins:
        if not plugin.diagnosis or plugin.diagnosis in done:
            continue
        done.add(plugin.diagnosis)
        try:
            yield from pkgutil.resolve_name(plugin.diagnosis)()
        except Exception as error:  # code of plugins
            yield Diagnosis(
                f"{plugin.kind} {plugin.name}",
                f"its diagnosis {plugin.diagnosis!r} raised {type(error).__name__}: {error}",
                "problem",
                f"Update or reinstall {plugin.origin}.",
            )
