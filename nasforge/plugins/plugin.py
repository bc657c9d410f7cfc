"""The description of a plugin: light, so that listing and checking import nothing heavy."""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nasforge.config import BudgetedConfig, PluginConfig, sub_tables, walk_options
from nasforge.errors import PluginError, suggest
from nasforge.plugins.capabilities import Need, kind_of, missing_members
from nasforge.plugins.conventions import CellConventions
from nasforge.plugins.kinds import KINDS, TABLES, Kind, inner_tables, with_article

__all__ = ["API", "Plugin", "find_fault"]

API = 1
"""Version of the interface between nasforge and plugins; it rises when a plugin must be changed to work."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """The description of a plugin; light, so that listing and checking import nothing heavy.

    Attributes:
        kind: Its kind: a key of `nasforge.plugins.KINDS`.
        name: How recipes call it: lower case, hyphens.
        target: ``"module:Class"``, imported only when used; called with an instance of ``config``.
        config: The class of its options.
        summary: One line for listings.
        needs: Kinds of plugins that a recipe must also have (``"data"``), or capabilities of one
            (`nasforge.NetworkSpace`).
        provides: Capabilities of this plugin that others may need; `load` checks that the class has them.
        conventions: Of a searcher: the cells that its published code searches.
        tiny: Options for small, quick runs: conformance checks use them. Options of sub-tables are nested.
        api: The `API` it was written for.
        partners: Plugins that conformance checks use beside this one, by kind: ``{"space": "my-space"}``
            for an evaluator that works in that space alone. Others are the kit's own.
        diagnosis: ``"module:function"``, called by ``nasforge doctor`` only. The function takes no arguments
            and returns `Diagnosis` objects about what the plugin uses on this machine.
        origin: The distribution it comes from; filled in by the registry.
        module: The module with its hook; filled in by the registry.
    """

    kind: Kind
    name: str
    target: str
    config: type[PluginConfig] = PluginConfig
    summary: str = ""
    needs: frozenset[Need] = frozenset()
    provides: frozenset[type] = frozenset()
    conventions: CellConventions | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict, compare=False)
    api: int = 1
    partners: Mapping[str, str] = field(default_factory=dict, compare=False, kw_only=True)
    diagnosis: str = field(default="", compare=False, kw_only=True)
    origin: str = field(default="?", compare=False)
    module: str = field(default="", compare=False)

    def load(self) -> Callable[[Any], Any]:
        """Import and return the target.

        Raises:
            PluginError: The import failed, the module has no such class, or the class lacks a capability that
                the description promises.
        """
        try:
            found: Callable[[Any], Any] = pkgutil.resolve_name(self.target)
        except Exception as error:
            raise PluginError(
                f"{self.kind} {self.name!r} ({self.origin}): cannot be loaded from {self.target!r}: "
                f"{type(error).__name__}: {error}. Reinstall or update that distribution."
            ) from error
        self.check_capabilities(found)
        if missing := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
            raise PluginError(
                f"{self.kind} {self.name!r} ({self.origin}): {self.target!r} lacks {missing}. Write it."
            )
        return found

    def check_capabilities(self, found: Callable[[Any], Any]) -> None:
        """Check that a class has the capabilities of the description.

        Args:
            found: The class that the target names.

        Raises:
            PluginError: It lacks one.
        """
        for declared in sorted(self.provides, key=lambda one: one.__name__):
            lacks = missing_members(declared, found) if isinstance(found, type) else ["a class"]
            if lacks:
                raise PluginError(
                    f"{self.kind} {self.name!r} ({self.origin}): provides {declared.__name__}, but "
                    f"{self.target!r} lacks {', '.join(lacks)}. Add it, or remove {declared.__name__} from "
                    "provides."
                )

    def requires(self, kind: str) -> bool:
        """Return whether a recipe with this plugin must also have one of another kind.

        Args:
            kind: The other kind, such as ``"evaluator"``.
        """
        return any(kind_of(need) == kind for need in self.needs)

    def warnings(self) -> Iterator[str]:
        """Say what will be wrong when the plugin is used, as far as that can be told without importing it."""
        if missing := self.missing_target():
            yield missing
        if "evaluations" in self.config.model_fields and not issubclass(self.config, BudgetedConfig):
            yield "its option 'evaluations' is not set by benches. Derive its options from BudgetedConfig."
        for path, option in walk_options(self.config):
            name = ".".join(path)
            if option.is_required() and not (KINDS[self.kind].paths_required and option.annotation is Path):
                yield f"its option {name!r} has no default. Give it one."

    def missing_target(self) -> str | None:
        """Say what is missing if the target's module is not there; finds it without importing it."""
        module = self.target.partition(":")[0]
        try:
            found = module in sys.modules or find_spec(module) is not None
        except Exception as error:  # a parent package was imported, which is code of a plugin
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
    if not isinstance(plugin.diagnosis, str) or not (
        _TARGET.fullmatch(plugin.diagnosis) or not plugin.diagnosis
    ):
        return f"the diagnosis {plugin.diagnosis!r} is not of the form 'module:function'."
    if not isinstance(plugin.config, type) or not issubclass(plugin.config, PluginConfig):
        return f"its config {plugin.config!r} is not a subclass of PluginConfig."
    # A recipe's table holds these beside the options.
    inside = [i.rpartition(".")[2] for t, k in TABLES.items() if k == plugin.kind for i in inner_tables(t)]
    for reserved in ("use", *inside):
        if reserved in plugin.config.model_fields:
            return f"an option of {with_article(plugin.kind)} cannot be called {reserved!r}. Rename it."
    if plugin.conventions is not None and plugin.kind != "searcher":
        return f"conventions are for searchers, and this is {with_article(plugin.kind)}. Remove them."
    for need in plugin.needs:
        if isinstance(need, str) and ":" in need:
            return _moved("needs", need)
        kind = kind_of(need)
        if kind not in KINDS:
            return f"it needs {need!r}, and there is no kind {kind!r}.{suggest(kind, KINDS)}"
    for provided in plugin.provides:
        if isinstance(provided, str):
            return _moved("provides", provided)
        if (kind := kind_of(provided)) != plugin.kind:
            return f"it provides {provided.__name__}, which is a capability of kind {kind!r}. Remove it."
    return _find_unknown(plugin.config, plugin.tiny)


def _find_unknown(config: type[BaseModel], tiny: Mapping[str, Any], at: str = "") -> str | None:
    inner = sub_tables(config)
    for name in sorted(tiny):
        if name not in config.model_fields:
            return f"tiny sets {at + name!r}, which is not an option.{suggest(name, config.model_fields)}"
        table = inner.get(name)
        if (
            table
            and isinstance(tiny[name], Mapping)
            and (fault := _find_unknown(table, tiny[name], f"{at}{name}."))
        ):
            return fault
    return None


_FORMER = {
    "supernet": "NetworkSpace, from nasforge.space",
    "table": "TabularSpace, from nasforge.space",
    "cost": "KnownCost, from nasforge.space",
    "parallel": "ParallelEvaluator, from nasforge.evaluator",
    "weights": "KeepsNetwork, from nasforge.evaluator",
    "tables": "TableStore, from nasforge.evaluator",
}
"""The types that replaced names of capabilities."""


def _moved(field: str, text: str) -> str:
    name = text.rpartition(":")[2]
    advice = _FORMER.get(name, "a class or protocol declared with @nasforge.plugins.capability")
    return f"its {field} has {text!r}, but capabilities are types. Write {advice}."
