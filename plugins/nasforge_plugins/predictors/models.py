"""Predictors of scores that say how sure they are."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neural_network import MLPRegressor

from nasforge_plugins.predictors.encodings import Array
from nasforge_plugins.predictors.options import PredictorName

__all__ = ["Ensemble"]


class Ensemble:
    """Predictors of one kind that differ in their seed.

    A fit is a function of data and seeds, so a predictor is never saved: it is fitted again.

    Args:
        kind: Which predictors.
        seeds: One per member; a Gaussian process uses the first only.
    """

    def __init__(self, kind: PredictorName, seeds: Sequence[int]) -> None:
        # scikit-learn takes seeds of 32 bits.
        self.members = [MODELS[kind](seed % 2**32) for seed in (seeds[:1] if kind == "gp" else seeds)]

    def fit(self, features: Array, scores: Array) -> None:
        """Fit every member to all scores, scaled to mean 0 and deviation 1.

        Args:
            features: ``(architectures, columns)``.
            scores: ``(architectures,)``.
        """
        self._mean, self._scale = float(scores.mean()), float(scores.std()) or 1.0
        with warnings.catch_warnings():
            # A member may stop early, and a kernel parameter may end at its bound.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for member in self.members:
                member.fit(features, (scores - self._mean) / self._scale)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation, in units of the scores.

        Args:
            features: ``(architectures, columns)``.
        """
        if len(self.members) == 1:
            mean, deviation = self.members[0].predict(features, return_std=True)
        else:
            predicted = np.stack([member.predict(features) for member in self.members])
            mean, deviation = predicted.mean(0), predicted.std(0)
        return mean * self._scale + self._mean, deviation * self._scale


def _forest(seed: int) -> Any:
    # Trees that see every sample and split at random: smoother than bagging on a hundred samples.
    return ExtraTreesRegressor(n_estimators=10, random_state=seed, n_jobs=1)


def _random_forest(seed: int) -> Any:
    return RandomForestRegressor(n_estimators=20, max_features=0.5, random_state=seed, n_jobs=1)


def _boosting(seed: int) -> Any:
    # Members are drawn other samples, otherwise all of them would be the same.
    return GradientBoostingRegressor(
        n_estimators=100, learning_rate=0.1, max_depth=3, subsample=0.7, random_state=seed
    )


def _process(seed: int) -> Any:
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(2.0, (0.3, 30.0)) + WhiteKernel(0.1, (1e-4, 1.0))
    return GaussianProcessRegressor(kernel, random_state=seed)


def _network(seed: int) -> Any:
    layers = (20, 20, 20)
    return MLPRegressor(hidden_layer_sizes=layers, learning_rate_init=0.01, max_iter=500, random_state=seed)


MODELS: Mapping[PredictorName, Callable[[int], Any]] = {
    "forest": _forest,
    "random-forest": _random_forest,
    "boosting": _boosting,
    "gp": _process,
    "mlp": _network,
}
"""Makes one member, by the predictor's name."""
