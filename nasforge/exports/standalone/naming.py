"""Names in written code: short, valid, and each given once."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

__all__ = ["Names", "short_names"]

TAKEN = frozenset({"self", "torch", "nn", "F", "Tensor", "json", "Path", "load", "x"}) | frozenset(
    keyword.kwlist
)


class Names:
    """Names of one scope.

    Args:
        taken: Those that cannot be given.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*TAKEN, *taken}

    def give(self, wanted: str) -> str:
        """Return the wanted name, made valid, with a number if it was given before."""
        base = re.sub(r"\W", "_", wanted).strip("_") or "value"
        base = f"_{base}" if base[0].isdigit() else base
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}" if base[-1].isdigit() else f"{base}{number}", number + 1
        self._taken.add(name)
        return name


def short_names(paths: Iterable[tuple[str, ...]], taken: Iterable[str] = ()) -> dict[tuple[str, ...], str]:
    """Return a name for every path: its last part, with as many parts before it as make it valid and unique.

    Paths of one length below one part have equally many. A number is joined to the name of its list:
    ``("cells", "3")`` becomes ``cell3``.

    Args:
        paths: Different paths.
        taken: Names that cannot be used.
    """
    paths = list(paths)
    depths = dict.fromkeys(paths, 1)
    while True:
        names = {path: _joined(path[-depth:]) for path, depth in depths.items()}
        counts: dict[str, int] = {}
        for name in names.values():
            counts[name] = counts.get(name, 0) + 1
        longer = [
            path
            for path, name in names.items()
            if depths[path] < len(path) and (counts[name] > 1 or not name.isidentifier())
        ]
        if not longer:
            break
        wanted = {path: depths[path] + 1 for path in longer}
        for path, depth in wanted.items():
            for other in paths:
                if len(other) == len(path) and other[0] == path[0]:
                    depths[other] = max(depths[other], depth)
    scope = Names(taken)
    return {path: scope.give(name) for path, name in names.items()}


def _joined(parts: tuple[str, ...]) -> str:
    name = ""
    for part in (re.sub(r"\W+", "_", part).strip("_") for part in parts):
        if part.isdigit() and name:
            name = name.removesuffix("s") if not name.endswith("ss") else name
            name = f"{name}_{part}" if name[-1:].isdigit() else f"{name}{part}"
        else:
            name = f"{name}_{part}" if name else part
    return name
