"""Find plugins: one hook, one entry-point group, and no import of what a plugin implements."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points

from pydantic import BaseModel

from nasforge.config import sub_tables
from nasforge.errors import PluginError, suggest
from nasforge.plugins.hooks import GROUP, Listing, describe_module, error_text
from nasforge.plugins.kinds import KINDS, with_article
from nasforge.plugins.plugin import Plugin, find_fault

__all__ = ["Registry"]

_MODULE = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?")
_UNCLAIM = "Uninstall or rename one, or name an entry point to skip in NASFORGE_DISABLE."


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
                reason = find_fault(plugin)
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
        name_distribution = lru_cache(maxsize=None)(_name_distribution)
        for point in sorted(entry_points(group=GROUP) if points is None else points, key=lambda p: p.name):
            if point.name in disabled:
                skipped.append(point.name)
                continue
            origin = (point.dist and name_distribution(point.dist)) or point.value
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
        ranks = {kind: rank for rank, kind in enumerate(KINDS)}
        order = sorted(self._claims, key=lambda key: (ranks[key[0]], key[1]))
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
        """Return whether one class defines an option of two plugins, so that it means the same to both.

        Args:
            kind: The kind of both plugins.
            one: Name of a plugin.
            other: Name of the other.
            option: Its name; dotted for one of a sub-table, such as ``"guard.policy"``.
        """
        *tables, last = option.split(".")
        owners = []
        for name in (one, other):
            claims = self._claims.get((kind, name), [])
            config: type[BaseModel] | None = claims[0].config if len(claims) == 1 else None
            for table in tables:
                config = sub_tables(config).get(table) if config else None
            classes = config.__mro__ if config else ()
            owners.append(next((c for c in classes if last in inspect.get_annotations(c)), None))
        return owners[0] is not None and owners[0] is owners[1]

    def find(self, name: str, kind: str | None = None) -> Plugin:
        """Return the plugin of a name, and of a kind where the name is not enough.

        Args:
            name: Its name.
            kind: Its kind, as given by ``--kind``; None for any.

        Raises:
            PluginError: No plugin has that name, or several do.
        """
        if kind is not None:
            if kind not in KINDS:
                raise PluginError(f"--kind {kind}: no such kind.{suggest(kind, KINDS)}")
            return self.get(kind, name)
        kinds = [known for known in KINDS if name in self.names(known)]
        if len(kinds) > 1:
            raise PluginError(f"{name!r} is {' and '.join(map(with_article, kinds))}. Say which with --kind.")
        if not kinds:
            raise PluginError(f"no plugin named {name!r}.{suggest(name, sorted({p.name for p in self}))}")
        return self.get(kinds[0], name)

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
            mistake = f"{name!r} is {with_article(others[0])}, not {with_article(kind)}."
            raise PluginError(f"{mistake}{suggest('', self.names(kind))}")
        count = len(self.broken)
        hint = f" ({count} broken: see `nasforge plugins list`.)" if count else ""
        raise PluginError(f"no {kind} named {name!r}.{suggest(name, self.names(kind))}{hint}")


def _blame(plugin: Plugin, reason: str) -> tuple[str, str]:
    return f"{plugin.kind} {plugin.name!r} ({plugin.origin})", reason


def _name_distribution(distribution: Distribution) -> str | None:
    """Return name and version of a distribution, None if its metadata is damaged; parses its metadata."""
    name = distribution.name
    return f"{name} {distribution.version}" if name else None
