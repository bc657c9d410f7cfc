"""Architectures as plain data: named choices and the options picked for them."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from nasforge.errors import ArchError

__all__ = ["Arch", "Choice"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision of a search space: pick ``k`` of ``options``, or fewer where some are optional.

    Attributes:
        name: Unique in its space, readable, without dots: ``"normal/node2/in0"``, ``"layer3"``.
        options: The names to pick from, in the order of the option weights.
        k: How many of them an architecture picks.
        kind: ``"op"`` picks an operation, ``"edge"`` picks the inputs of a node.
        optional: How many of the ``k`` an architecture may leave out.
        elastic: Whether the options share weights: each uses a slice of the same tensors. They are
            listed from the smallest to the largest.
    """

    name: str
    options: tuple[str, ...]
    k: int = 1
    kind: Literal["op", "edge"] = "op"
    optional: int = 0
    elastic: bool = False

    def __post_init__(self) -> None:
        if not self.name or "." in self.name:
            raise ArchError(
                f"choice {self.name!r}: a name is not empty and has no dot. Use '/' to group names."
            )
        if len(set(self.options)) != len(self.options):
            raise ArchError(f"choice {self.name!r}: an option is listed twice in {self.options}.")
        if not 1 <= self.k <= len(self.options):
            raise ArchError(f"choice {self.name!r}: k must be 1 to {len(self.options)}, got {self.k}.")
        if not 0 <= self.optional <= self.k:
            raise ArchError(f"choice {self.name!r}: optional must be 0 to {self.k}, got {self.optional}.")
        if self.elastic and (self.k, self.kind, self.optional) != (1, "op", 0):
            raise ArchError(
                f"choice {self.name!r}: an elastic choice picks one slice. Leave k, kind and optional out."
            )

    @property
    def sizes(self) -> range:
        """The numbers of options that an answer may have."""
        return range(self.k - self.optional, self.k + 1)

    def answers(self) -> Iterator[tuple[str, ...]]:
        """Yield every answer once, in a fixed order, with its options in the order of `options`."""
        for size in self.sizes:
            yield from itertools.combinations(self.options, size)

    def count(self) -> int:
        """Return the number of answers."""
        return sum(math.comb(len(self.options), size) for size in self.sizes)

    def draw(self, rng: Random) -> tuple[str, ...]:
        """Draw an answer, uniform over all of them.

        Args:
            rng: The only source of randomness.
        """
        size = self.k
        if self.optional:
            (size,) = rng.choices(self.sizes, [math.comb(len(self.options), size) for size in self.sizes])
        return tuple(sorted(rng.sample(self.options, size), key=self.options.index))


class Arch(Mapping[str, tuple[str, ...]]):
    """An immutable, hashable answer to every `Choice` of a space.

    The order inside one answer is kept, because the literature prints the stronger edge first, but it has
    no meaning: two architectures that differ in nothing else are equal and share one ``key``.

    Args:
        picks: Option name, or list of option names, by choice name.

    Raises:
        ArchError: An answer is something else.
    """

    __slots__ = ("_hash", "_key", "_picks")

    def __init__(self, picks: Mapping[str, str | Sequence[str]]) -> None:
        try:
            self._picks = {n: (p,) if isinstance(p, str) else tuple(p) for n, p in sorted(picks.items())}
            # A sum, so that `with_answer` need not look at the other answers.
            self._hash = sum(map(_hash_answer, self._picks.items()))
        except TypeError:
            wrong = next((p for p in picks.values() if not _is_answer(p)), picks)
            raise ArchError(
                f"architecture: {str(wrong)[:80]} answers no choice. An answer is the name of an option, or "
                "a list of names."
            ) from None
        self._key: str | None = None

    @property
    def key(self) -> str:
        """A short, stable hash: names files and caches."""
        if self._key is None:
            unordered = {name: sorted(picked) for name, picked in self._picks.items()}
            self._key = hashlib.sha256(json.dumps(unordered).encode()).hexdigest()[:12]
        return self._key

    def with_answer(self, name: str, answer: str | Sequence[str]) -> Arch:
        """Return an architecture that differs in one answer.

        Args:
            name: A choice that this architecture answers.
            answer: Option name, or list of option names.

        Raises:
            KeyError: The architecture does not answer this choice.
        """
        picked = (answer,) if isinstance(answer, str) else tuple(answer)
        other = Arch.__new__(Arch)
        other._picks = {**self._picks, name: picked}
        other._hash = self._hash - _hash_answer((name, self._picks[name])) + _hash_answer((name, picked))
        other._key = None
        return other

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._picks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._picks)

    def __len__(self) -> int:
        return len(self._picks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Arch) or self._hash != other._hash:
            return False
        return self._picks == other._picks or self.key == other.key

    def __hash__(self) -> int:
        return hash(self._hash)

    def __reduce__(self) -> tuple[type[Arch], tuple[dict[str, tuple[str, ...]]]]:
        return Arch, (self._picks,)  # hashes of text differ between processes

    def __repr__(self) -> str:
        return f"Arch({self.key})"

    def to_json(self) -> dict[str, str | list[str]]:
        """Return plain data from which ``Arch(data)`` makes an equal architecture."""
        return {n: p[0] if len(p) == 1 else list(p) for n, p in self._picks.items()}


def _hash_answer(answer: tuple[str, tuple[str, ...]]) -> int:
    name, picked = answer
    return hash((name, frozenset(picked)))


def _is_answer(answer: object) -> bool:
    names = answer if isinstance(answer, list | tuple) else [answer]
    return all(isinstance(name, str) for name in names)
