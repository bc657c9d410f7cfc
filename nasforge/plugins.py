"""Find plugins: one hook, one entry-point group, and no import of what a plugin implements."""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from nasforge.config import PluginConfig
from nasforge.errors import PluginError, suggest
from nasforge.hooks import GROUP, Listing, describe_module, error_text, hookimpl

__all__ = ["API", "KINDS", "Kind", "Plugin", "Registry", "hookimpl"]

API = 1
"""Version of the interface between nasforge and plugins; it rises when a plugin must be changed to work."""

Kind = Literal["data", "space", "searcher", "distiller", "evaluator"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MODULE = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_UNCLAIM = "Uninstall or rename one, or name an entry point to skip in NASFORGE_DISABLE."


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
        tiny: Options for small, quick runs: conformance checks use them.
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
        for name, option in self.config.model_fields.items():
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


class Registry:
    """Plugins by kind and name.

    Args:
        plugins: Their descriptions.
        broken: Pairs of (entry point, reason) of plugins that could not be described. Plugins whose
            description is wrong are added to them, never raised: one bad plugin must not stop the others.

    Attributes:
        broken: As above.
        notes: Pairs of (entry point, what is wrong) of plugins that work all the same.
        disabled: Names of entry points that were skipped.
    """

    def __init__(self, plugins: Iterable[Plugin] = (), broken: Iterable[tuple[str, str]] = ()) -> None:
        self._claims: dict[tuple[str, str], list[Plugin]] = {}
        self.broken = list(broken)
        self.notes: list[tuple[str, str]] = []
        self.disabled: list[str] = []
        for plugin in plugins:
            try:
                reason = _fault(plugin)
            except Exception as error:  # fields of other types than they should have
                reason = f"its description cannot be read: {type(error).__name__}: {error}."
            if reason:
                self.broken.append(_blame(plugin, reason))
                continue
            claims = self._claims.setdefault((plugin.kind, plugin.name), [])
            if plugin in claims and any(plugin.origin == other.origin for other in claims):
                self.broken.append(_blame(plugin, "is described twice by the same distribution."))
            else:
                claims.append(plugin)

    @classmethod
    def discover(cls, points: Iterable[EntryPoint] | None = None) -> Registry:
        """Ask every installed plugin module to describe itself; keep the reason of those that fail.

        The environment variable ``NASFORGE_DISABLE`` names entry points to skip, separated by commas.

        Args:
            points: Entry points to use instead of the installed ones.
        """
        disabled = {name.strip() for name in os.environ.get("NASFORGE_DISABLE", "").split(",")}
        found: list[Plugin] = []
        broken: list[tuple[str, str]] = []
        notes: list[tuple[str, str]] = []
        skipped: list[str] = []
        seen: set[int] = set()
        for point in sorted(entry_points(group=GROUP) if points is None else points, key=lambda p: p.name):
            if point.name in disabled:
                skipped.append(point.name)
                continue
            known = point.dist and point.dist.name  # metadata may be damaged
            origin = f"{known} {point.dist.version}" if point.dist and known else point.value
            at = f"{point.name} = {point.value} ({origin})"
            listing = Listing()
            try:
                if not _MODULE.fullmatch(point.value):
                    raise PluginError(
                        "names no module. Write the one with the hook, such as my_package.plugin."
                    )
                with listing:
                    module = point.load()
                    if id(module) in seen:
                        raise PluginError(f"{point.value} is named by another entry point already.")
                    seen.add(id(module))
                    described = describe_module(module)
            except (Exception, SystemExit) as error:
                broken.append((at, error_text(error)))
                continue
            finally:
                notes += [(at, note) for note in listing.notes()]
            for plugin in described:
                if isinstance(plugin, Plugin):
                    found.append(replace(plugin, origin=origin, module=point.module))
                else:
                    broken.append((at, f"the hook returned {plugin!r}, which is no Plugin."))
        registry = cls(found, broken)
        registry.notes, registry.disabled = notes, skipped
        return registry

    def extended(self, plugins: Iterable[Plugin]) -> Registry:
        """Return a registry that has further plugins; those it has already are left out.

        Args:
            plugins: Their descriptions, origins included.
        """
        known = list(self)
        registry = Registry([*known, *(plugin for plugin in plugins if plugin not in known)], self.broken)
        registry.notes, registry.disabled = self.notes, self.disabled
        return registry

    def __iter__(self) -> Iterator[Plugin]:
        order = sorted(self._claims, key=lambda key: (KINDS.index(key[0]), key[1]))
        for key in order:
            yield from self._claims[key]

    @property
    def conflicts(self) -> list[tuple[str, str]]:
        """Pairs like those of ``broken``, for every name that several distributions claim."""
        return [
            (f"{kind} {name!r}", f"is provided by {' and '.join(p.origin for p in claims)}. {_UNCLAIM}")
            for (kind, name), claims in sorted(self._claims.items())
            if len(claims) > 1
        ]

    def names(self, kind: str) -> list[str]:
        """Return the names of one kind, sorted."""
        return sorted(name for known, name in self._claims if known == kind)

    def of(self, kind: str) -> list[Plugin]:
        """Return the plugins of one kind whose name is not claimed twice, sorted by name."""
        return [
            p for (known, _), ps in sorted(self._claims.items()) if known == kind and len(ps) == 1 for p in ps
        ]

    def shares(self, kind: str, one: str, other: str, option: str) -> bool:
        """Tell whether one class defines an option of two plugins, so that it means the same to both."""
        owners = []
        for name in (one, other):
            claims = self._claims.get((kind, name), [])
            classes = claims[0].config.__mro__ if len(claims) == 1 else ()
            owners.append(next((c for c in classes if option in inspect.get_annotations(c)), None))
        return owners[0] is not None and owners[0] is owners[1]

    def get(self, kind: str, name: str) -> Plugin:
        """Return one plugin.

        Raises:
            PluginError: There is none of that name, or two distributions claim it.
        """
        claims = self._claims.get((kind, name), [])
        if len(claims) == 1:
            return claims[0]
        if claims:
            raise PluginError(
                f"{kind} {name!r} is provided by {' and '.join(p.origin for p in claims)}. {_UNCLAIM}"
            )
        if others := [known for known, other in self._claims if other == name]:
            raise PluginError(f"{name!r} is a {others[0]}, not a {kind}.{suggest('', self.names(kind))}")
        count = len(self.broken)
        hint = f" ({count} broken: see `nasforge plugins list`.)" if count else ""
        raise PluginError(f"no {kind} named {name!r}.{suggest(name, self.names(kind))}{hint}")


def _fault(plugin: Plugin) -> str | None:
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
    if unknown := sorted(set(plugin.tiny) - set(plugin.config.model_fields)):
        return (
            f"tiny sets {unknown[0]!r}, which is no option.{suggest(unknown[0], plugin.config.model_fields)}"
        )
    return None


def _blame(plugin: Plugin, reason: str) -> tuple[str, str]:
    return f"{plugin.kind} {plugin.name!r} ({plugin.origin})", reason
