"""Evaluations with one budget, and the model that is fitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nasforge.arch import Arch
from nasforge.evaluator import Evaluation
from nasforge.seeding import derive_seed
from nasforge.space import SearchSpace
from nasforge_plugins.evaluators.predictor.config import PredictorConfig
from nasforge_plugins.predictors.agreement import held_out, rank_correlations
from nasforge_plugins.predictors.encodings import Array, Encoding
from nasforge_plugins.predictors.models import Ensemble

__all__ = ["Record"]

WINDOW = 100
"""How many predictions a new one is compared with."""


class Record:
    """Evaluations of one budget and a model of them.

    The model is a function of the evaluations it was fitted to and of the seed; state holds how many those
    were, not the model.

    Args:
        config: The options of the evaluator.
        space: The space.
        seed: The run's seed.
        budget: The budget; enters the seeds.

    Attributes:
        told: Evaluations, in order.
        predicted: Prediction for each before it was evaluated; None for the first ones.
        estimates: How many predictions were not evaluated.
    """

    def __init__(
        self, config: PredictorConfig, space: SearchSpace[Any], seed: int, budget: int | None
    ) -> None:
        self._config, self._space, self._seed, self._budget = config, space, seed, budget
        self.evaluations: list[Evaluation] = []
        self.predicted: list[float | None] = []
        self.estimates = 0
        self._known: dict[Arch, Evaluation] = {}
        self._recent: list[float] = []
        self._since = 0
        self._fitted = 0
        self._model: tuple[Ensemble, Encoding] | None = None
        self._quality: dict[int, dict[str, float]] = {}

    def known(self, canonical: Arch) -> Evaluation | None:
        """Return the evaluation of an architecture, if it has one."""
        return self._known.get(canonical)

    def add(self, result: Evaluation, predicted: float | None) -> None:
        """Add an evaluation.

        Args:
            result: The evaluation.
            predicted: The prediction before it was evaluated.
        """
        self.evaluations.append(result)
        self.predicted.append(predicted)
        self._known[self._space.canonical(result.arch)] = result

    def predict(self, arch: Arch) -> tuple[float, float]:
        """Return mean and deviation of the score, from a model that is fitted anew when it is time."""
        if not self._fitted or len(self.evaluations) - self._fitted >= self._config.refit:
            self._fitted, self._model = len(self.evaluations), None
        if self._model is None:
            self._model = self._fit(np.arange(self._fitted), self._fitted)
        ensemble, encoding = self._model
        mean, deviation = ensemble.predict(encoding.encode([arch]))
        return float(mean[0]), float(deviation[0])

    def select(self, mean: float) -> bool:
        """Decide whether an architecture with this prediction is evaluated, and remember it."""
        self._recent = [*self._recent, mean][-WINDOW:]
        places = self._config.share * len(self._recent)
        among_best = sum(other > mean for other in self._recent) + 1 <= places
        if among_best or (self._config.every and self._since >= self._config.every):
            self._since = 0
            return True
        self._since += 1
        self.estimates += 1
        return False

    def quality(self, *, latest: bool = False) -> dict[str, float]:
        """Return the rank correlations of cross-validated predictions with scores.

        Args:
            latest: Of a model fitted to everything, instead of the one that predicts now.
        """
        count = len(self.evaluations) if latest else self._fitted
        if count < max(5, self._config.folds):
            return {}
        if count not in self._quality:

            def predict(rest: Any, part: Any) -> Array:
                ensemble, encoding = self._fit(rest, count)
                return ensemble.predict(encoding.encode([self.evaluations[i].arch for i in part]))[0]

            seed = derive_seed(self._seed, "predictor", "folds", str(self._budget), count) % 2**32
            tau, rho = rank_correlations(
                held_out(count, self._config.folds, seed, predict), self._scores(np.arange(count))
            )
            self._quality = {count: {"kendall": tau, "spearman": rho}}
        return self._quality[count]

    def state_dict(self) -> dict[str, Any]:
        """Return what was evaluated and predicted."""
        return {
            "told": [evaluation.to_json() for evaluation in self.evaluations],
            "predicted": list(self.predicted),
            "estimates": self.estimates,
            "recent": list(self._recent),
            "since": self._since,
            "fitted": self._fitted,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the model is fitted when it is needed."""
        for row, predicted in zip(state["told"], state["predicted"], strict=True):
            self.add(Evaluation.from_json(row), predicted)
        self.estimates, self._since, self._fitted = state["estimates"], state["since"], state["fitted"]
        self._recent = list(state["recent"])

    def _scores(self, which: Any) -> Array:
        return np.array([self.evaluations[i].score for i in which])

    def _fit(self, which: Any, count: int) -> tuple[Ensemble, Encoding]:
        config = self._config
        seeds = [
            derive_seed(self._seed, "predictor", str(self._budget), count, m) for m in range(config.members)
        ]
        ensemble, encoding = Ensemble(config.predictor, seeds), Encoding(self._space, config.encoding)
        ensemble.fit(encoding.fit([self.evaluations[i].arch for i in which]), self._scores(which))
        return ensemble, encoding
