"""The tables of a recipe as they are laid over each other, and where each key was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasforge.errors import RecipeError
from nasforge.plugins.kinds import GROUPS, TABLES, table_kind

__all__ = ["TOP_TABLES", "Draft", "Keys", "Layer", "Shares"]

TOP_TABLES = (
    *("run", "plugins", "constraints", "latency", "export", "bench"),
    *(table for table in TABLES if "." not in table),
    *GROUPS,
)
"""The tables that do not lie inside another."""

DEEPEST = 50
"""How deep tables and lists may be nested: far more than any option, and far less than Python's stack."""

Keys = tuple[str, ...]
"""A path to a table or option."""

Shares = Callable[[str, str, str, str], bool]
"""Given a kind, two plugin names and an option, whether both plugins take it from one class. An option of a
sub-table has a dotted name: ``"guard.policy"``."""


@dataclass(frozen=True)
class Layer:
    """One source of tables: a file, a mapping, or all ``--set`` together.

    Attributes:
        order: Where its problems are listed, after those of lower order.
        label: Stands before a location: ``"base/mine.toml, "``, ``"--set "``, or nothing for the recipe.
        body: Its content.
        lines: Line numbers by path.
        folder: Where paths in it start; None: the working directory.
    """

    order: int
    label: str
    body: Mapping[str, Any]
    lines: Mapping[Keys, int] = field(default_factory=dict)
    folder: Path | None = None

    def line(self, path: Keys) -> int:
        """Return the line of ``path`` or of the nearest table around it; 0 if unknown."""
        return next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), 0)


class Draft:
    """The merged tables of a recipe, and the problems found so far.

    Args:
        source: Name of the recipe in messages.
        text: The file as written.
        shares: Given a kind, two plugin names and an option: whether it means the same to both.

    Attributes:
        stored: Whether the recipe lies in a run folder, which anyone may have made.
    """

    def __init__(self, source: str, text: str = "", shares: Shares = lambda *names: False) -> None:
        self.source, self.text, self._shares = source, text, shares
        self.stored = False
        self.tables: dict[str, Any] = {}
        self.profiles: tuple[str, ...] = ()
        self._origins: dict[Keys, tuple[Layer, Keys]] = {}
        self._layers: list[Layer] = []
        self._problems: list[tuple[int, float, str]] = []

    def table(self, name: str) -> Any:
        """Return the content of a table, such as ``"train.distiller"``; None if it is not there."""
        value: Any = self.tables
        for key in name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def folder(self, path: Keys) -> Path:
        """Return where a relative path in an option starts: the folder of the file that sets it."""
        layer, _ = self._origins.get(path, (None, ()))
        return (layer.folder if layer else None) or Path.cwd()

    def is_over(self, path: Keys, other: Keys) -> bool:
        """Whether a path was set by a layer that lies over the one that another path is from."""
        places = [self._layers.index(self._origins[p][0]) for p in (path, other) if p in self._origins]
        return len(places) == 2 and places[0] > places[1]

    def add_error(self, path: Sequence[str | int], message: str) -> None:
        """Note a problem.

        Args:
            path: Where it is, such as ``("train", "epochs")``; told as the user wrote it.
            message: The problem and its remedy.
        """
        keys = tuple(map(str, path))
        for length in range(len(keys), 0, -1):
            if keys[:length] in self._origins:
                layer, written = self._origins[keys[:length]]
                self.add_error_in(layer, (*written, *keys[length:]), message)
                return
        self._problems.append((0, float("inf"), f"{'.'.join(keys)}: {message}"))

    def add_error_in(self, layer: Layer, written: Keys, message: str) -> None:
        """Note a problem at a place of one layer."""
        line = layer.line(written)
        place = f"line {line}: " if line else ""
        text = f"{layer.label}{place}{'.'.join(written)}: {message}"
        self._problems.append((layer.order, line or float("inf"), text))

    def add_unplaced_error(self, order: int, text: str) -> None:
        """Note a problem that is complete with its place, ahead of all others of that order."""
        self._problems.append((order, 0, text))

    def raise_errors(self) -> None:
        """Raise what was noted.

        Raises:
            RecipeError: Anything was noted; problems are sorted by file and line.
        """
        if self._problems:
            ordered = sorted(self._problems, key=lambda problem: problem[:2])
            raise RecipeError(self.source, list(dict.fromkeys(text for *_, text in ordered)))

    def apply(self, layer: Layer, body: Mapping[str, Any], at: Keys = (), written: Keys = ()) -> None:
        """Lay tables over those that are there, key by key.

        Where ``use`` changes, only the options that mean the same to both plugins stay.

        Args:
            layer: Where they come from.
            body: The tables.
            at: Path of the table they belong into.
            written: Path under which the layer has them.
        """
        if layer not in self._layers:
            self._layers.append(layer)
        target = self.tables
        for key in at:  # not by dotted name: a key in quotes may hold dots
            target = target[key]
        for key, value in body.items():
            path, place = (*at, str(key)), (*written, str(key))
            if _depth(value, DEEPEST - len(at)) > DEEPEST - len(at):
                self.add_error_in(layer, place[:3], f"is nested more than {DEEPEST} levels deep.")
            elif isinstance(value, Mapping):
                old = target.get(key)
                is_plugin = table_kind(".".join(path)) is not None
                if not isinstance(old, dict):
                    if key in target:
                        self._forget(path)
                    target[key] = {}
                elif is_plugin and "use" in old and value.get("use", old["use"]) != old["use"]:
                    target[key] = self.common(".".join(path), old, old["use"], value["use"])
                    self._forget_missing(path, target[key])
                self._origins[path] = (layer, place)
                self.apply(layer, value, path, place)
            else:
                if key in target:  # looks through all that is known
                    self._forget(path)
                target[key] = value
                self._origins[path] = (layer, place)

    def common(self, table: str, options: Mapping[str, Any], old: Any, new: Any) -> dict[str, Any]:
        """Return the options that mean the same to two plugins.

        Args:
            table: Name of the table.
            options: Options for the plugin ``old``.
            old: Name of that plugin.
            new: Name of the one that shall get them.
        """
        if not isinstance(old, str) or not isinstance(new, str):
            return {}
        return self._shared(
            table_kind(table) or "", old, new, {k: v for k, v in options.items() if k != "use"}
        )

    def _shared(
        self, kind: str, old: str, new: str, options: Mapping[str, Any], at: str = ""
    ) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in options.items():
            name = f"{at}{key}"
            if self._shares(kind, old, new, name):
                kept[key] = value
            elif isinstance(value, Mapping) and (inner := self._shared(kind, old, new, value, f"{name}.")):
                kept[key] = inner
        return kept

    def _forget(self, path: Keys) -> None:
        for known in [p for p in self._origins if p[: len(path)] == path]:
            del self._origins[known]

    def _forget_missing(self, path: Keys, kept: Mapping[str, Any]) -> None:
        """Forget where options below a path were written, except those that are kept."""
        for known in [p for p in self._origins if p[: len(path)] == path and len(p) > len(path)]:
            value: Any = kept
            for key in known[len(path) :]:
                value = value.get(key) if isinstance(value, Mapping) else None
            if value is None:
                del self._origins[known]


def _depth(value: Any, most: int) -> int:
    """Return how deep a value is nested, or ``most + 1`` if deeper than that; without recursion."""
    level, found = [value], 0
    while level and found <= most:
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list | tuple)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        found += bool(level)
    return found
