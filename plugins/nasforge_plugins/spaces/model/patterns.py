"""Patterns of module names: which parts of a model may change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from nasforge.errors import RunError, suggest

__all__ = ["Patterns"]


class Patterns:
    """Patterns that a recipe includes and excludes.

    Args:
        include: Patterns of what may change.
        exclude: Patterns of what stays.
        known: Names of the model's modules.

    Raises:
        RunError: A pattern matches none of them.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str], known: Iterable[str]) -> None:
        self._include, self._exclude = tuple(include), tuple(exclude)
        names = [name for name in known if name]
        for option, patterns in (("include", self._include), ("exclude", self._exclude)):
            for pattern in patterns:
                if pattern != "*" and not any(_matches(name, pattern) for name in names):
                    near = suggest(pattern.removesuffix(".*"), names) if len(names) <= 400 else ""
                    raise RunError(
                        f"space.{option}: {pattern!r} matches no module of the model.{_shorten(near)} Write "
                        'names of modules, with * for any text, such as "layer4.*".'
                    )

    def allow(self, name: str) -> bool:
        """Return whether a module may change: it, or one around it, is included, and none is excluded."""
        included = any(_matches(name, pattern) for pattern in self._include)
        return included and not any(_matches(name, pattern) for pattern in self._exclude)


def _matches(name: str, pattern: str) -> bool:
    return any(fnmatchcase(around, pattern) for around in _around(name))


def _around(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def _shorten(hint: str) -> str:
    return hint if len(hint) <= 120 else f"{hint[:118].rpartition(',')[0]}, …"
