"""Find plugins: one hook, one entry-point group, and no import of what a plugin implements."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel

from nasforge.config import sub_tables
from nasforge.errors import PluginError, suggest
from nasforge.plugins.describe import describe
from nasforge.plugins.hooks import GROUP
from nasforge.plugins.kinds import KINDS, with_article
from nasforge.plugins.plugin import Plugin, find_fault
from nasforge.plugins.remembered import Memory, Unread, capability_name

__all__ = ["Registry"]

_UNCLAIM = "Uninstall or rename one, or name an entry point to skip in NASFORGE_DISABLE."


class Registry:
    """Plugins by kind and name. Modules whose descriptions are remembered are imported when they are needed.

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
        self._claims: dict[tuple[str, str], list[Plugin | Unread]] = {}
        self.broken = list(broken)
        self.notes: list[tuple[str, str]] = []
        self.disabled: list[str] = []
        for plugin in plugins:
            self._add(plugin)

    def _add(self, plugin: Plugin) -> bool:
        """Add a plugin, or the reason why not to `broken`; return whether it was added."""
        try:
            reason = find_fault(plugin)
        except Exception as error:  # fields of other types than they should have
            reason = f"its description cannot be read: {type(error).__name__}: {error}."
        if not reason:
            claims = self._claims.setdefault((plugin.kind, plugin.name), [])
            if not (plugin in claims and any(plugin.origin == other.origin for other in claims)):
                claims.append(plugin)
                return True
            reason = "is described twice by the same distribution."
        self.broken.append((f"{plugin.kind} {plugin.name!r} ({plugin.origin})", reason))
        return False

    @classmethod
    def discover(cls, points: Iterable[EntryPoint] | None = None, *, anew: bool = False) -> Registry:
        """Ask installed plugin modules to describe themselves; keep the reason of those that fail.

        Modules that described themselves to an earlier command are not asked again unless they changed.
        The environment variable ``NASFORGE_DISABLE`` names entry points to skip, separated by commas.

        Args:
            points: Entry points to use instead of the installed ones; all are asked.
            anew: Ask all.
        """
        found = sorted(entry_points(group=GROUP) if points is None else points, key=lambda p: p.name)
        memory = Memory(found) if points is None else None
        known = memory.plugins if memory and not anew else {}
        names = {name.strip() for name in os.environ.get("NASFORGE_DISABLE", "").split(",")}
        registry = cls()
        registry.disabled = [point.name for point in found if point.name in names]
        asked = [point for point in found if point.name not in names]
        for point in asked:
            for unread in known.get(point, ()):
                registry._claims.setdefault((unread.kind, unread.name), []).append(unread)
        described = describe(
            (point for point in asked if point not in known),
            [point.value for point in asked if point in known],
        )
        good = []
        for one in described:
            added = [registry._add(plugin) for plugin in one.plugins]
            registry.broken += one.broken
            registry.notes += one.notes
            if all(added) and not one.broken:
                good.append(one)
        if memory:
            memory.keep(good)
        return registry

    def _read(self, kind: str, name: str) -> list[Plugin]:
        """Return the claims to a name, whose modules are imported."""
        for point in [one.point for one in self._claims.get((kind, name), ()) if isinstance(one, Unread)]:
            places = {}
            for key, claims in list(self._claims.items()):
                for place, one in enumerate(claims):
                    if isinstance(one, Unread) and one.point == point:
                        places[key] = place
                        del claims[place]
                        break
                if not claims:
                    del self._claims[key]
            for described in describe([point]):
                for plugin in described.plugins:
                    if self._add(plugin):  # conflicts name distributions in the order of their entry points
                        claims = self._claims[plugin.kind, plugin.name]
                        claims.insert(places.get((plugin.kind, plugin.name), len(claims)), claims.pop())
                self.broken += described.broken
                self.notes += described.notes
        return [one for one in self._claims.get((kind, name), ()) if isinstance(one, Plugin)]

    def extended(self, plugins: Iterable[Plugin]) -> Registry:
        """Return a registry that has further plugins; those it has already are left out.

        Args:
            plugins: Their descriptions, origins included.
        """
        registry = Registry((), self.broken)
        registry._claims = {key: list(claims) for key, claims in self._claims.items()}
        registry.notes, registry.disabled = self.notes, self.disabled
        for plugin in plugins:
            if plugin not in registry._read(plugin.kind, plugin.name):
                registry._add(plugin)
        return registry

    def listed(self) -> list[Plugin | Unread]:
        """Return kinds, names, summaries and origins of all plugins in the order of listings, unimported."""
        ranks = {kind: rank for rank, kind in enumerate(KINDS)}
        order = sorted(self._claims, key=lambda key: (ranks[key[0]], key[1]))
        return [one for key in order for one in self._claims[key]]

    def warnings(self) -> list[tuple[str, str]]:
        """Return pairs like those of ``notes``: what will be wrong when a plugin is used.

        Descriptions are remembered only of plugins without any.
        """
        return [
            (f"{one.kind} {one.name!r} ({one.origin})", doubt)
            for one in self.listed()
            if isinstance(one, Plugin)
            for doubt in one.warnings()
        ]

    def capable(self, kind: str, capability: type | None = None) -> list[str]:
        """Return the names of the plugins of one kind that provide a capability, sorted; imports none.

        Args:
            kind: The kind.
            capability: The capability; None for any plugin.
        """
        single = [claims[0] for (known, _), claims in sorted(self._claims.items())
                  if known == kind and len(claims) == 1]  # fmt: skip
        return [
            one.name
            for one in single
            if capability is None
            or (
                capability_name(capability) in one.provides
                if isinstance(one, Unread)
                else capability in one.provides
            )
        ]

    def __iter__(self) -> Iterator[Plugin]:
        for kind, name in dict.fromkeys((one.kind, one.name) for one in self.listed()):
            yield from self._read(kind, name)

    @property
    def conflicts(self) -> list[tuple[str, str]]:
        """Pairs like those of ``broken``, for every name that several distributions claim."""
        return [
            (f"{kind} {name!r}", f"is provided by {_origins(claims)}. {_UNCLAIM}")
            for (kind, name), claims in sorted(self._claims.items())
            if len(claims) > 1
        ]

    def names(self, kind: str) -> list[str]:
        """Return the names of one kind, sorted."""
        return sorted(name for known, name in self._claims if known == kind)

    def of(self, kind: str) -> list[Plugin]:
        """Return the plugins of one kind whose name is not claimed twice, sorted by name."""
        claims = [self._read(kind, name) for name in self.names(kind)]
        return [found[0] for found in claims if len(found) == 1]

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
            claims = self._read(kind, name)
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
            raise PluginError(
                f"no plugin named {name!r}.{suggest(name, sorted({known for _, known in self._claims}))}"
            )
        return self.get(kinds[0], name)

    def get(self, kind: str, name: str) -> Plugin:
        """Return one plugin.

        Raises:
            PluginError: There is none of that name, or two distributions claim it.
        """
        claims = self._read(kind, name)
        if len(claims) == 1:
            return claims[0]
        if claims:
            raise PluginError(f"{kind} {name!r} is provided by {_origins(claims)}. {_UNCLAIM}")
        if others := [known for known, other in self._claims if other == name]:
            mistake = f"{name!r} is {with_article(others[0])}, not {with_article(kind)}."
            raise PluginError(f"{mistake}{suggest('', self.names(kind))}")
        count = len(self.broken)
        hint = f" ({count} broken: see `nasforge plugins list`.)" if count else ""
        raise PluginError(f"no {kind} named {name!r}.{suggest(name, self.names(kind))}{hint}")


def _origins(claims: Iterable[Plugin | Unread]) -> str:
    return " and ".join(one.origin for one in claims)
