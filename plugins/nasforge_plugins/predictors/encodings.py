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

__all__ = ["Array", "Encoding", "PathSpace", "one_hot"]

Array = NDArray[np.float64]


@runtime_checkable
class PathSpace(Protocol):
    """A space of cells, whose architectures have paths."""

    def paths(self, arch: Arch) -> Iterable[str]:
        """Return the paths from an input of the cell to its output, each as the operations on it."""


def one_hot(choices: Sequence[Choice], archs: Sequence[Arch]) -> Array:
    """Return a number per option of every choice, 1 where it is picked: ``(architectures, options)``."""
    return np.array(
        [[float(option in arch[c.name]) for c in choices for option in c.options] for arch in archs]
    )


class Encoding:
    """Turns architectures of one space into rows.

    Paths that no architecture has which a predictor is fitted to tell it nothing: there is no column for
    them. So even in spaces of millions of paths the rows are as short as what is known (White et al., AAAI
    2021, section 4, cut off the least likely paths instead).

    Args:
        space: The space.
        name: Which encoding.

    Raises:
        RunError: The space has no paths.
    """

    def __init__(self, space: SearchSpace[Any], name: EncodingName) -> None:
        if name == "path" and not isinstance(space, PathSpace):
            raise RunError(
                f"encoding: 'path', but {type(space).__name__} is no space of cells: it has no paths. "
                "Set encoding = 'one-hot'."
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
        rows = np.zeros((len(archs), len(self._columns)))
        for row, arch in zip(rows, archs, strict=True):
            row[[self._columns[path] for path in self._paths(arch) if path in self._columns]] = 1.0
        return rows

    def _paths(self, arch: Arch) -> Iterable[str]:
        assert isinstance(self._space, PathSpace)
        return self._space.paths(arch)
