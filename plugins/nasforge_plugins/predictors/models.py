"""Predictors of scores with a measure of their uncertainty."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neural_network import MLPRegressor

from nasforge_plugins.predictors.encodings import Array
from nasforge_plugins.predictors.networks import Networks
from nasforge_plugins.predictors.options import PredictorName

__all__ = ["Ensemble"]


class Model(Protocol):
    """Predicts targets of mean 0 and deviation 1."""

    def fit(self, features: Array, targets: Array) -> None:
        """Fit to rows and one target each."""

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation per row."""


class Ensemble:
    """Predictors of one kind that differ in their seed.

    A fit is a function of data and seeds, so a predictor is never saved: it is fitted again.

    Args:
        kind: Which predictors.
        seeds: One per member; a Gaussian process uses the first only.
    """

    def __init__(self, kind: PredictorName, seeds: Sequence[int]) -> None:
        # scikit-learn takes seeds of 32 bits.
        self._model = MODELS[kind]([seed % 2**32 for seed in seeds])

    def fit(self, features: Array, scores: Array) -> None:
        """Fit every member to all scores, scaled to mean 0 and deviation 1.

        Args:
            features: ``(architectures, columns)``.
            scores: ``(architectures,)``.
        """
        self._mean, self._scale = float(scores.mean()), float(scores.std()) or 1.0
        self._model.fit(features, (scores - self._mean) / self._scale)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation, in units of the scores.

        Args:
            features: ``(architectures, columns)``.
        """
        mean, deviation = self._model.predict(features)
        return mean * self._scale + self._mean, deviation * self._scale


class _Regressors:
    """Regressors of scikit-learn, one per seed."""

    def __init__(self, make: Callable[[int], Any], seeds: Sequence[int]) -> None:
        self._members = [make(seed) for seed in seeds]

    def fit(self, features: Array, targets: Array) -> None:
        with warnings.catch_warnings():
            # A member may stop early, and a kernel parameter may end at its bound.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for member in self._members:
                member.fit(features, targets)

    def predict(self, features: Array) -> tuple[Array, Array]:
        predicted = np.stack([member.predict(features) for member in self._members])
        return predicted.mean(0), predicted.std(0)


class _Process(_Regressors):
    """A Gaussian process, which needs one member to know its deviation."""

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__(_gaussian, seeds[:1])

    def predict(self, features: Array) -> tuple[Array, Array]:
        mean, deviation = self._members[0].predict(features, return_std=True)
        return mean, deviation


def _each(make: Callable[[int], Any]) -> Callable[[Sequence[int]], Model]:
    return lambda seeds: _Regressors(make, seeds)


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


def _gaussian(seed: int) -> Any:
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(2.0, (0.3, 30.0)) + WhiteKernel(0.1, (1e-4, 1.0))
    return GaussianProcessRegressor(kernel, random_state=seed)


def _network(seed: int) -> Any:
    layers = (20, 20, 20)
    return MLPRegressor(hidden_layer_sizes=layers, learning_rate_init=0.01, max_iter=500, random_state=seed)


MODELS: Mapping[PredictorName, Callable[[Sequence[int]], Model]] = {
    "forest": _each(_forest),
    "random-forest": _each(_random_forest),
    "boosting": _each(_boosting),
    "gp": _Process,
    "mlp": _each(_network),
    "bananas": Networks,
}
"""Makes a model from seeds, by the predictor's name."""
