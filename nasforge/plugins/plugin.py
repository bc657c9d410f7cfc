"""The description of a plugin: light, so that listing and checking import nothing heavy."""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from nasforge.config import PluginConfig, sub_tables, walk_options
from nasforge.errors import PluginError, suggest

__all__ = ["API", "KINDS", "Kind", "Plugin", "find_fault"]

API = 1
"""Version of the interface between nasforge and plugins; it rises when a plugin must be changed to work."""

Kind = Literal["data", "space", "searcher", "distiller", "evaluator"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a plugin says about itself; light, so that listing and checking import nothing heavy.

    Attributes:
        kind: What it is.
        name: How recipes call it: lower case, hyphens.
        target: ``"module:Class"``, imported only when used; called with an instance of ``config``.
        config: The class of its options.
        summary: One line for listings.
        needs: What else a recipe must have: a kind (``"data"``), or a capability of one
            (``"space:supernet"``).
        provides: Capabilities that others may need, such as ``"supernet"``.
        tiny: Options for small, quick runs: conformance checks use them. Options of sub-tables are nested.
        api: The `API` it was written for.
        origin: The distribution it comes from; filled in by the registry.
        module: The module with its hook; filled in by the registry.
    """

    kind: Kind
    name: str
    target: str
    config: type[PluginConfig] = PluginConfig
    summary: str = ""
    needs: frozenset[str] = frozenset()
    provides: frozenset[str] = frozenset()
    tiny: Mapping[str, Any] = field(default_factory=dict, compare=False)
    api: int = 1
    origin: str = field(default="?", compare=False)
    module: str = field(default="", compare=False)

    def load(self) -> Callable[[Any], Any]:
        """Import and return the target.

        Raises:
            PluginError: The import failed, or the module has no such class.
        """
        try:
            return pkgutil.resolve_name(self.target)
        except Exception as error:
            raise PluginError(
                f"{self.kind} {self.name!r} ({self.origin}): cannot be loaded from {self.target!r}: "
                f"{type(error).__name__}: {error}. Reinstall or update that distribution."
            ) from error

    def doubts(self) -> Iterator[str]:
        """Say what will be wrong when the plugin is used, as far as that can be told without importing it."""
        if missing := self.missing_target():
            yield missing
        for path, option in walk_options(self.config):
            name = ".".join(path)
            if not option.description:
                yield f"its option {name!r} has no description. Put a string under it."
            # Where images are, nobody else can know.
            if option.is_required() and not (self.kind == "data" and option.annotation is Path):
                yield f"its option {name!r} has no default. Give it one."

    def missing_target(self) -> str | None:
        """Say what is missing if the target's module is not there; finds it without importing it."""
        module = self.target.partition(":")[0]
        try:
            found = module in sys.modules or find_spec(module) is not None
        except Exception as error:  # a parent package was imported, and is somebody else's code
            return f"its target {self.target!r} cannot be found: {type(error).__name__}: {error}."
        return None if found else f"its target {self.target!r} cannot be found: no module {module!r}."


def find_fault(plugin: Plugin) -> str | None:
    """Say what is wrong with a description, if anything is."""
    if plugin.api != API:
        update = "nasforge" if plugin.api > API else "the plugin"
        return f"it was written for plugin API {plugin.api}, this nasforge has API {API}. Update {update}."
    if plugin.kind not in KINDS:
        return f"no kind {plugin.kind!r}.{suggest(str(plugin.kind), KINDS)}"
    if not isinstance(plugin.name, str) or not _NAME.fullmatch(plugin.name):
        return "a name has lower-case letters, digits and hyphens only."
    if not isinstance(plugin.target, str) or not _TARGET.fullmatch(plugin.target):
        return f"the target {plugin.target!r} is not of the form 'module:Class'."
    if not isinstance(plugin.config, type) or not issubclass(plugin.config, PluginConfig):
        return f"its config {plugin.config!r} is no subclass of PluginConfig."
    # A recipe's table holds these beside the options.
    for reserved in ("use", *(("base", "distiller") if plugin.kind == "evaluator" else ())):
        if reserved in plugin.config.model_fields:
            return f"an option of a {plugin.kind} cannot be called {reserved!r}. Rename it."
    for need in plugin.needs:
        kind = need.partition(":")[0]
        if kind not in KINDS:
            return f"it needs {need!r}, and there is no kind {kind!r}.{suggest(kind, KINDS)}"
    return _find_unknown(plugin.config, plugin.tiny)


def _find_unknown(config: type[BaseModel], tiny: Mapping[str, Any], at: str = "") -> str | None:
    inner = sub_tables(config)
    for name in sorted(tiny):
        if name not in config.model_fields:
            return f"tiny sets {at + name!r}, which is no option.{suggest(name, config.model_fields)}"
        table = inner.get(name)
        if (
            table
            and isinstance(tiny[name], Mapping)
            and (fault := _find_unknown(table, tiny[name], f"{at}{name}."))
        ):
            return fault
    return None
