"""How well predicted scores rank architectures that a predictor has not seen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from nasforge_plugins.predictors.encodings import Array

Indices = NDArray[np.intp]

__all__ = ["held_out", "rank_correlations"]


def held_out(count: int, folds: int, seed: int, predict: Callable[[Indices, Indices], Array]) -> Array:
    """Predict every sample by a model that was fitted without it (cross-validation).

    Args:
        count: How many samples there are; at least ``folds``.
        folds: How many parts they are split into.
        seed: Decides who is in which part.
        predict: Called with the indices to fit to and those to predict; returns the predictions.

    Returns:
        A prediction per sample.
    """
    parts = np.array_split(np.random.default_rng(seed).permutation(count), folds)
    predicted = np.zeros(count)
    for i, part in enumerate(parts):
        rest = np.concatenate([other for j, other in enumerate(parts) if j != i])
        predicted[part] = predict(np.sort(rest), part)
    return predicted


def rank_correlations(predicted: Array, scores: Array) -> tuple[float, float]:
    """Return Kendall's tau and Spearman's rho; 0 where one of the two is constant.

    Args:
        predicted: ``(samples,)``.
        scores: ``(samples,)``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a constant has no ranks; told by a nan
        found = kendalltau(predicted, scores).statistic, spearmanr(predicted, scores).statistic
    tau, rho = (0.0 if math.isnan(value) else float(value) for value in found)
    return tau, rho
