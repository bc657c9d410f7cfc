"""The penalty on options without weights, and how its strength fades over the cycles."""

from __future__ import annotations

from nasforge_plugins.searchers.gradient.penalties import L1Penalty, fading

__all__ = ["L1Penalty", "l1_strength"]


def l1_strength(epoch: int, *, coefficient: float, ratio: float, start: int, epochs: int) -> float:
    """Return r, the strength of the penalty: a line from ``coefficient`` to 0.

    Args:
        epoch: Search epoch, counted from 0, warm-up included.
        coefficient: Strength at ``start``.
        ratio: Share of ``epochs`` after which it is 0.
        start: First epoch after the warm-up.
        epochs: Epochs after the warm-up.
    """
    return fading(epoch - start, coefficient=coefficient, ratio=ratio, epochs=epochs)
