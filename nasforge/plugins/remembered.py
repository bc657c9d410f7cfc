"""Descriptions of installed plugins, remembered between commands, so that few modules are imported.

The file holds names for listings alone. Modules are imported by the entry points that are installed, so that
nothing in the file makes a command import anything else; it is used only if no other user can change it. It
is valid as long as the folders that distributions are installed in do not change, and a top-level package is
described anew when one of the modules changes that its plugins were described with.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nasforge import __version__
from nasforge.files import UnsafeCacheError, cache_folder, open_cache, read_own, write_bytes
from nasforge.plugins.describe import Described
from nasforge.plugins.hooks import Listing
from nasforge.plugins.plugin import API, Plugin

__all__ = ["Memory", "Unread", "capability_name"]

KEY = [1, API, __version__, sys.version]
"""Format of the file, and what it was written by."""

OWN = "nasforge"
"""Top-level package of the checks that descriptions have passed."""

Stamps = dict[str, list[int]]
"""Time of change in nanoseconds and size in bytes of files, by path."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A plugin whose module has not been imported.

    Attributes:
        kind: Its kind.
        name: How recipes call it.
        summary: One line for listings.
        origin: The distribution it comes from.
        provides: Its capabilities, by `capability_name`.
        point: The entry point that describes it.
    """

    kind: str
    name: str
    summary: str
    origin: str
    provides: frozenset[str]
    point: EntryPoint


def capability_name(capability: type) -> str:
    """Return a name of a capability that is the same in every process."""
    return f"{capability.__module__}:{capability.__qualname__}"


class Memory:
    """The file of descriptions; one that is missing, damaged or another user's has none.

    Args:
        points: The installed entry points.

    Attributes:
        plugins: The remembered plugins by entry point; the other entry points must be described.
    """

    def __init__(self, points: Sequence[EntryPoint]) -> None:
        self.plugins: dict[EntryPoint, list[Unread]] = {}
        self._files: dict[str, Stamps] = {}
        self._folders: dict[str, int] = {}
        # Once torch is imported, a description that imports it, too, cannot be told apart.
        self._writes = "torch" not in sys.modules
        with suppress(UnsafeCacheError, OSError, RuntimeError):
            folders = sorted({str(point.dist.locate_file("")) for point in points if point.dist})
            self._folders = {folder: Path(folder).stat().st_mtime_ns for folder in folders}
            name = hashlib.sha256("\0".join([sys.prefix, *folders]).encode()).hexdigest()[:24]
            self._path = open_cache(cache_folder("plugins")) / f"{name}.json"
            # Wrong content with the right checksum was written on purpose.
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                self._read(points)
            return
        self._writes = False

    def _read(self, points: Iterable[EntryPoint]) -> None:
        digest, _, body = (read_own(self._path) or b"").partition(b"\n")
        stored = json.loads(body) if digest == _digest(body) else {}
        if stored.get("key") != KEY or stored["folders"] != self._folders:
            return
        files = {top: stamps for top, stamps in stored["files"].items() if _stamps(stamps) == stamps}
        found = {}
        for point in points:
            entry = stored["points"].get(point.name)
            if entry and entry["value"] == point.value and {_top(point), OWN} <= set(files):
                found[point] = [
                    Unread(kind, name, summary, entry["origin"], frozenset(provides), point)
                    for kind, name, summary, provides in entry["plugins"]
                ]
        self.plugins, self._files = found, files

    def keep(self, described: Iterable[Described]) -> None:
        """Write descriptions for the next command; those of which anything is wrong are left out.

        Args:
            described: The entry points that were not remembered, and passed all checks.
        """
        with Listing():  # looking for targets imports the packages around them
            good = [
                one
                for one in described
                if not one.notes and not any(any(plugin.warnings()) for plugin in one.plugins)
            ]
        if not good or not self._writes:
            return
        entries = {one.point.name: _entry(one.point, one.origin, one.plugins) for one in good}
        for point, plugins in self.plugins.items():
            entries[point.name] = _entry(point, plugins[0].origin if plugins else "", plugins)
        targets = {plugin.target.partition(":")[0] for one in good for plugin in one.plugins}
        files = dict(self._files)
        for top in {OWN, *(_top(one.point) for one in good)}:
            with suppress(OSError):  # modules in an archive are described every time
                files[top] = {**files.get(top, {}), **_stamps(_module_files(top, targets))}
        stored = {"key": KEY, "folders": self._folders, "files": files, "points": entries}
        body = json.dumps(stored).encode()
        with suppress(OSError):
            write_bytes(self._path, _digest(body) + b"\n" + body)


def _entry(point: EntryPoint, origin: str, plugins: Iterable[Plugin | Unread]) -> Mapping[str, Any]:
    rows = []
    for one in plugins:
        provides = one.provides if isinstance(one, Unread) else map(capability_name, one.provides)
        rows.append([one.kind, one.name, one.summary, sorted(provides)])
    return {"value": point.value, "origin": origin, "plugins": rows}


def _top(point: EntryPoint) -> str:
    return point.module.partition(".")[0]


def _module_files(top: str, targets: Collection[str]) -> set[str]:
    """Return the files of all modules of a package that are imported, and of those that targets name."""
    names = [name for name in (*sys.modules, *targets) if name.partition(".")[0] == top]
    found = {getattr(sys.modules.get(name), "__file__", None) for name in names}
    for name in {*targets}.intersection(names):
        spec = find_spec(name)
        found.add(spec.origin if spec else None)
    return {file for file in found if file}


def _stamps(files: Iterable[str]) -> Stamps:
    found = {}
    for file in files:
        status = Path(file).stat()
        found[file] = [status.st_mtime_ns, status.st_size]
    return found


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
