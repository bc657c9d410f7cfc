"""Stable seeds by purpose, and random generators as plain data."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any

__all__ = ["derive_seed", "random_from_json", "random_to_json"]


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed for one purpose, the same in every process and Python version.

    Args:
        seed: The run's seed.
        purpose: Words and numbers that name the use, such as ``"data", "weights", 3``.

    Returns:
        An integer below 2**63, which torch, numpy and `random` all accept.
    """
    text = "/".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def random_to_json(rng: Random) -> list[Any]:
    """Return the state of a generator as plain data."""
    version, internal, gauss = rng.getstate()
    return [version, list(internal), gauss]


def random_from_json(rng: Random, state: list[Any]) -> None:
    """Set a generator to a state from `random_to_json`."""
    version, internal, gauss = state
    rng.setstate((version, tuple(internal), gauss))
