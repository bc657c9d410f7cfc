"""The penalty on options without weights, which otherwise win because they learn nothing slower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from nasforge.arch import Choice
from nasforge.errors import RecipeError, suggest

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
    return max(coefficient * (1.0 - (epoch - start) / (epochs * ratio)), 0.0)


class L1Penalty:
    """The absolute values of the raw logits of some options (not of their softmax), added or averaged.

    Args:
        choices: The relaxed choices of operations.
        options: The options to penalise.
        multiplier: Factor.
        mean: Average instead of adding.

    Raises:
        RecipeError: No choice has one of the options.
    """

    def __init__(
        self, choices: Iterable[Choice], options: Iterable[str], multiplier: float = 1.0, mean: bool = False
    ) -> None:
        choices, options = tuple(choices), sorted(options)
        known = {option for choice in choices for option in choice.options}
        if unknown := [option for option in options if option not in known]:
            raise RecipeError(
                "searcher 'cdarts'",
                [f"l1_options: no choice has {option!r}.{suggest(option, known)}" for option in unknown],
            )
        self._indices = {
            c.name: [i for i, option in enumerate(c.options) if option in options] for c in choices
        }
        self._factor = multiplier
        if mean:
            self._factor /= max(1, sum(map(len, self._indices.values())))

    def __call__(self, logits: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty at strength 1, a scalar.

        Args:
            logits: Raw architecture parameters by choice name.
        """
        entries = [logits[name][indices] for name, indices in self._indices.items() if indices]
        if not entries:
            return torch.zeros(())
        return self._factor * torch.cat(entries).float().abs().sum()
