"""Architectures as rows of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nasforge.arch import Arch, Choice
from nasforge.errors import RunError
from nasforge.space import SearchSpace
from nasforge_plugins.predictors.options import EncodingName

__all__ = ["Array", "Encoding", "IndexedPathSpace", "PathSpace", "one_hot"]

LENGTH = 40
"""Columns of the truncated path encoding, as in the published code."""

Array = NDArray[np.float64]


@runtime_checkable
class PathSpace(Protocol):
    """A space of cells, whose architectures have paths."""

    def paths(self, arch: Arch) -> Iterable[str]:
        """Return the paths from an input of the cell to its output, each as the operations on it."""


@runtime_checkable
class IndexedPathSpace(Protocol):
    """A space of cells with a published order of all paths."""

    def path_indices(self, arch: Arch) -> Iterable[int]:
        """Return the positions of the architecture's paths among all paths of the space."""


def one_hot(choices: Sequence[Choice], archs: Sequence[Arch]) -> Array:
    """Return a number per option of every choice, 1 where it is picked: ``(architectures, options)``."""
    return np.array(
        [[float(option in arch[c.name]) for c in choices for option in c.options] for arch in archs]
    )


class Encoding:
    """Turns architectures of one space into rows.

    The columns of ``"path"`` are the paths of the architectures that a predictor is fitted to: a path that
    none of them has carries no information. ``"truncated-path"`` is the published encoding: the first 40 of
    all paths of the space, shortest first (White et al., AAAI 2021, section 4).

    Args:
        space: The space.
        name: Which encoding.

    Raises:
        RunError: The space does not have this encoding.
    """

    def __init__(self, space: SearchSpace[Any], name: EncodingName) -> None:
        if name == "path" and not isinstance(space, PathSpace):
            raise RunError(
                f"encoding: 'path', but {type(space).__name__} is not a space of cells: it has no paths. "
                "Set encoding = 'one-hot'."
            )
        if name == "truncated-path" and not isinstance(space, IndexedPathSpace):
            other = "path" if isinstance(space, PathSpace) else "one-hot"
            raise RunError(
                f"encoding: 'truncated-path', but {type(space).__name__} has no published order of paths. "
                f"Set encoding = '{other}'."
            )
        self._space, self._name = space, name
        self._columns: dict[str, int] = {}

    def fit(self, archs: Sequence[Arch]) -> Array:
        """Decide on the columns by these architectures, and return their rows."""
        if self._name == "path":
            known = sorted({path for arch in archs for path in self._paths(arch)})
            self._columns = {path: column for column, path in enumerate(known)}
        return self.encode(archs)

    def encode(self, archs: Sequence[Arch]) -> Array:
        """Return a row per architecture, after `fit`."""
        if self._name == "one-hot":
            return one_hot(self._space.choices, archs)
        if self._name == "truncated-path":
            assert isinstance(self._space, IndexedPathSpace)
            rows = np.zeros((len(archs), LENGTH))
            for row, arch in zip(rows, archs, strict=True):
                row[[index for index in self._space.path_indices(arch) if index < LENGTH]] = 1.0
            return rows
        rows = np.zeros((len(archs), len(self._columns)))
        for row, arch in zip(rows, archs, strict=True):
            row[[self._columns[path] for path in self._paths(arch) if path in self._columns]] = 1.0
        return rows

    def _paths(self, arch: Arch) -> Iterable[str]:
        assert isinstance(self._space, PathSpace)
        return self._space.paths(arch)
