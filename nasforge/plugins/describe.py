"""Import the modules that entry points name, and ask each for the plugins it describes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint

from nasforge.errors import PluginError
from nasforge.plugins.hooks import Listing, describe_module, error_text
from nasforge.plugins.plugin import Plugin

__all__ = ["Described", "describe"]

_MODULE = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?")


@dataclass
class Described:
    """Plugins of one entry point, and what is wrong with it.

    Attributes:
        point: The entry point.
        origin: Name and version of its distribution.
        plugins: The plugins.
        broken: Pairs of (entry point, reason) of what could not be described.
        notes: Pairs of (entry point, what is wrong) of plugins that work all the same.
    """

    point: EntryPoint
    origin: str
    plugins: list[Plugin] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def describe(points: Iterable[EntryPoint], known: Iterable[str] = ()) -> list[Described]:
    """Import the module of every entry point and call its hook; errors are kept, never raised.

    Args:
        points: The entry points.
        known: Values of entry points that were described before: a module has one entry point.
    """
    seen = set(known)
    name_distribution = lru_cache(maxsize=None)(_name_distribution)
    results = []
    for point in points:
        origin = (point.dist and name_distribution(point.dist)) or point.value
        result, listing = Described(point, origin), Listing()
        at = f"{point.name} = {point.value} ({origin})"
        try:
            if not _MODULE.fullmatch(point.value):
                raise PluginError("names no module. Write the one with the hook, such as my_package.plugin.")
            if point.value in seen:
                raise PluginError(f"{point.value} is named by another entry point already.")
            with listing:
                described = describe_module(point.load())
        except (Exception, SystemExit) as error:
            result.broken.append((at, error_text(error)))
            described = []
        else:
            seen.add(point.value)
        result.notes += [(at, note) for note in listing.notes()]
        for plugin in described:
            if isinstance(plugin, Plugin):
                result.plugins.append(replace(plugin, origin=origin, module=point.module))
            else:
                result.broken.append((at, f"the hook returned {plugin!r}, which is not a Plugin."))
        results.append(result)
    return results


def _name_distribution(distribution: Distribution) -> str | None:
    """Return name and version of a distribution, None if its metadata is damaged; parses its metadata."""
    name = distribution.name
    return f"{name} {distribution.version}" if name else None
