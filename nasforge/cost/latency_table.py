"""Latency tables: what every option of a space takes on some device, measured once and stored as JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nasforge.arch import Choice
from nasforge.cost.additive import AdditiveCost
from nasforge.errors import RunError, suggest
from nasforge.files import user_folder, write_json

__all__ = ["FORMAT", "LatencyTable", "folder", "path_of", "read", "tables"]

FORMAT = "nasforge latency table 1"


@dataclass(frozen=True)
class LatencyTable:
    """The stored record of one measurement.

    Attributes:
        about: Of which networks: ``space`` (its name and options), ``task``, and ``structure``, a hash of
            every option's module and input shape; where: ``device``, ``hardware``, ``threads``,
            ``precision``, ``channels_last``, ``batch``, ``backend``; when and with what: ``created``,
            ``torch``; ``runs``.
        choices: The choices of the space.
        cost: ``latency_ms`` by option; see `nasforge.cost.additive.AdditiveCost`.
        units: Each distinct module and input shape: ``module``, ``shape``, ``places``, and its timing.
        error: Against whole networks: see `nasforge.cost.latency_build.errors_of`.
        path: Where it was read from.
    """

    about: Mapping[str, Any]
    choices: tuple[Choice, ...]
    cost: AdditiveCost
    units: tuple[Mapping[str, Any], ...]
    error: Mapping[str, Any]
    path: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `from_json`."""
        choices = [
            {"name": c.name, "options": list(c.options), "k": c.k, "kind": c.kind, "optional": c.optional}
            | ({"elastic": True} if c.elastic else {})
            for c in self.choices
        ]
        return {
            "format": FORMAT,
            **self.about,
            "choices": choices,
            "cost": self.cost.to_json(),
            "units": [dict(unit) for unit in self.units],
            "error": dict(self.error),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LatencyTable:
        """Restore what `to_json` returned."""
        inner = {"format", "choices", "cost", "units", "error", "sha256"}
        choices = tuple(
            Choice(
                c["name"],
                tuple(c["options"]),
                c["k"],
                c["kind"],
                c.get("optional", 0),
                c.get("elastic", False),
            )
            for c in data["choices"]
        )
        about = {key: value for key, value in data.items() if key not in inner}
        cost = AdditiveCost.from_json(choices, data["cost"])
        return cls(about, choices, cost, tuple(data["units"]), data["error"])

    @property
    def checksum(self) -> str:
        """A short hash of the latencies: what a search that uses the table depends on."""
        return hashlib.sha256(json.dumps(self.cost.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def write(self, path: Path) -> LatencyTable:
        """Store the table at once or not at all, and return it with its path."""
        data = self.to_json()
        write_json(path, {**data, "sha256": _checksum(data)})
        return replace(self, path=path)

    def check_choices(self, choices: Iterable[Choice], space: str) -> None:
        """Check that the table is about a space.

        Args:
            choices: Those of the space.
            space: Its name, for the message.

        Raises:
            RunError: It is not.
        """
        if tuple(choices) != self.choices:
            raise RunError(
                f"constraints.latency: {self.path} is about space {self.about['space']['use']!r} with other "
                f"choices than {space!r} has in this recipe. Measure one: nasforge latency build RECIPE"
            )


def folder() -> Path:
    """Return the folder of latency tables; see `nasforge.files.user_folder`."""
    return user_folder("latency")


def tables() -> dict[str, Path]:
    """Return the stored tables by name."""
    return {p.stem: p for p in sorted(folder().glob("*.json")) if not p.name.startswith(".")}


def path_of(name: str) -> Path:
    """Return where a table of a name is stored, or would be.

    Args:
        name: A path that ends in ``.json``, or a name in `folder`.

    Raises:
        RunError: The name is not a plain file name.
    """
    if name.endswith(".json"):
        return Path(name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise RunError(
            f"latency table {name!r}: a name has letters, digits, '-', '_' and '.'; a path ends in '.json'."
        )
    return folder() / f"{name}.json"


def read(name: str) -> LatencyTable:
    """Read a table.

    Args:
        name: A path that ends in ``.json``, or a name that `tables` lists.

    Raises:
        RunError: There is none, or it cannot be read.
    """
    path = path_of(name)
    if not path.is_file():
        raise RunError(
            f"latency table {name!r}: there is none.{suggest(name, tables())} "
            "Measure one with 'nasforge latency build RECIPE'."
        )
    try:
        data = json.loads(path.read_text(encoding="utf8"))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise RunError(f"latency table {path}: is not a latency table of this version of nasforge.")
        # Tables that were written by hand may have none.
        if data.get("sha256", checksum := _checksum(data)) != checksum:
            raise ValueError("its checksum differs from its content")
        return replace(LatencyTable.from_json(data), path=path)
    except (
        OSError,
        UnicodeDecodeError,
        json.JSONDecodeError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        AttributeError,
    ) as error:
        raise RunError(
            f"latency table {path}: cannot be read ({type(error).__name__}: {error}). Build it again."
        ) from None


def _checksum(data: Mapping[str, Any]) -> str:
    """Return a SHA-256 of a table's JSON data, its own checksum left out."""
    rest = {key: value for key, value in data.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
