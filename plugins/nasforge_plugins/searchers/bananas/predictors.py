"""An ensemble that predicts the scores of architectures from one-hot encodings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from nasforge.arch import Arch, Choice

__all__ = ["Ensemble", "encode"]

Array = NDArray[np.float64]


def encode(choices: Sequence[Choice], archs: Sequence[Arch]) -> Array:
    """Return a number per option of every choice, 1 where it is picked: ``(architectures, options)``."""
    return np.array(
        [[float(option in arch[c.name]) for c in choices for option in c.options] for arch in archs]
    )


class Ensemble:
    """Predictors of one kind that differ in their seed.

    Args:
        kind: Forests of randomised trees, or networks of three hidden layers.
        seeds: One per member.
    """

    def __init__(self, kind: Literal["forest", "mlp"], seeds: Sequence[int]) -> None:
        make = _forest if kind == "forest" else _network
        # scikit-learn takes seeds of 32 bits.
        self.members = [make(seed % 2**32) for seed in seeds]

    def fit(self, features: Array, scores: Array) -> None:
        """Fit every member to all scores, scaled to mean 0 and deviation 1."""
        self._mean, self._scale = float(scores.mean()), float(scores.std()) or 1.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # an ensemble member may stop early
            for member in self.members:
                member.fit(features, (scores - self._mean) / self._scale)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation over the members, in units of the scores."""
        predicted = np.stack([member.predict(features) for member in self.members])
        return predicted.mean(0) * self._scale + self._mean, predicted.std(0) * self._scale


def _forest(seed: int) -> Any:
    # Trees that see every sample and split at random: smoother than bagging on a hundred samples.
    return ExtraTreesRegressor(n_estimators=10, random_state=seed, n_jobs=1)


def _network(seed: int) -> Any:
    layers = (20, 20, 20)
    return MLPRegressor(hidden_layer_sizes=layers, learning_rate_init=0.01, max_iter=500, random_state=seed)
