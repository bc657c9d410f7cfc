"""Load a module's plugin descriptions, capturing prints and heavy imports."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

import pluggy

from nasforge.errors import PluginError

if TYPE_CHECKING:
    from nasforge.plugins import Plugin

__all__ = ["GROUP", "Hooks", "Listing", "describe_module", "error_text", "hookimpl"]

GROUP = "nasforge"
"""Name of the entry-point group and of the hooks' markers."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Hooks:
    """The hooks a plugin module may implement."""

    @hookspec
    def nasforge_plugins(self) -> Iterable[Plugin]:  # type: ignore[empty-body]
        """Describe the plugins of this module. Called once at start-up: import nothing heavy here."""


def describe_module(module: ModuleType) -> list[object]:
    """Ask a module for the plugins it describes.

    Args:
        module: A module with the hook ``nasforge_plugins``.

    Returns:
        What the hook returned; not necessarily plugins.

    Raises:
        PluginError: It has no hook, a misspelt one, or one that returns no list.
        Exception: Any exception of the hook.
    """
    # A manager of its own: a misspelt hook would make every later check_pending() of a shared one fail.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    manager.register(module, name=getattr(module, "__name__", "plugin"))
    manager.check_pending()  # a misspelt hook is an error, not silence
    implementations = manager.hook.nasforge_plugins.get_hookimpls()
    if not implementations:
        raise PluginError("implements no hook. Decorate nasforge_plugins() with @hookimpl.")
    described: list[object] = []
    for implementation in implementations:
        answer = implementation.function()
        if not isinstance(answer, Iterable):
            raise PluginError(f"nasforge_plugins() returned {answer!r}. Return a list of Plugin.")
        described += answer
    return described


class Listing:
    """Watches a module being imported and asked; what it prints is kept from standard output.

    Without this, the output of every command would begin with what a plugin has to say.
    """

    def __init__(self) -> None:
        self._printed = io.StringIO()
        self._light = "torch" not in sys.modules
        self._redirected = redirect_stdout(self._printed)

    def __enter__(self) -> None:
        self._redirected.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._redirected.__exit__(kind, error, trace)

    def printed(self) -> str:
        """Return the first line that was printed; empty if there is none."""
        return next((line for line in self._printed.getvalue().splitlines() if line.strip()), "")

    def notes(self) -> Iterator[str]:
        """Say what the module should not have done."""
        if line := self.printed():
            yield f"prints {line!r} when it is listed. Remove the print."
        if self._light and "torch" in sys.modules:
            yield (
                "imports torch when it is listed, which makes every command slow. Import it only in the "
                "module that the target names."
            )


def error_text(error: BaseException) -> str:
    """Return an error as one line; its type belongs to it unless the message is one of ours."""
    message = " ".join(str(error).split())
    return message if isinstance(error, PluginError) else f"{type(error).__name__}: {message}"
