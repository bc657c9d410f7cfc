"""The ``predictor`` evaluator: evaluate some, predict the rest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation, Evaluator
from nasforge_plugins.evaluators.predictor.config import PredictorConfig
from nasforge_plugins.evaluators.predictor.record import Record
from nasforge_plugins.predictors.agreement import rank_correlations
from nasforge_plugins.predictors.encodings import Encoding

__all__ = ["Predictor"]


class Predictor(Evaluator[PredictorConfig]):
    """Asks its base about the first architectures, then about those a fitted model likes, and some more.

    Everything else gets the score that the model predicts: an estimate, marked as such. A searcher may follow
    estimates, but its answer is always an architecture that the base has evaluated. A repeated estimate is
    made anew, by what is known by then. Of an estimate only the score is a guess; its metrics are what the
    space knows its networks cost, if the base reports that too.

    Budgets have models of their own, because scores of different budgets cannot be compared.
    """

    def setup(self, ctx: Context) -> None:
        """Start with nothing evaluated.

        Raises:
            RunError: The space has no paths to encode.
        """
        super().setup(ctx)
        assert ctx.evaluator is not None, "the recipe check requires an [evaluator.base] table"
        self.base = ctx.evaluator
        Encoding(ctx.space, self.config.encoding)
        self._records: dict[int | None, Record] = {}

    def prepare(self) -> None:
        """Let the base prepare."""
        self.base.prepare()

    def check_budget(self, budget: int) -> None:
        """Ask the base."""
        self.base.check_budget(budget)

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Evaluate or predict one architecture.

        Args:
            arch: The architecture.
            budget: Handed to the base.

        Returns:
            What the base says, or an estimate. Metrics besides those of the base: ``evaluated`` (how many
            were so far), and once there is a model ``kendall`` and ``spearman``, the rank correlations of
            its cross-validated predictions, and ``predicted`` and ``predicted_deviation`` of this one.
        """
        record = self._record(budget)
        if (known := record.known(self.ctx.space.canonical(arch))) is not None:
            return replace(known, arch=arch, cost=0.0)
        if len(record.evaluations) < self.config.initial:
            return self._evaluate_base(record, arch, budget, None)
        started = time.perf_counter()
        mean, deviation = record.predict(arch)
        facts = {**record.quality(), "predicted": mean, "predicted_deviation": deviation}
        if record.select(mean):
            result = self._evaluate_base(record, arch, budget, mean)
            return replace(result, metrics={**result.metrics, **facts})
        metrics = {**self._costs(arch, record), "evaluated": float(len(record.evaluations)), **facts}
        return Evaluation(arch, mean, time.perf_counter() - started, metrics, estimated=True)

    def summary(self) -> Mapping[str, float]:
        """Return how many were evaluated and predicted, and how well predictions rank.

        ``kendall`` and ``spearman`` are cross-validated over everything evaluated with the largest budget.
        The same with ``ahead_`` compare the ``ahead`` predictions made just before an evaluation with what it
        found: never seen either, but mostly of architectures that looked good, harder to tell apart.
        """
        if not self._records:
            return {}
        budgets = sorted(self._records, key=lambda budget: float("inf") if budget is None else budget)
        record = self._records[budgets[-1]]
        found = {
            "evaluated": float(sum(len(r.evaluations) for r in self._records.values())),
            "estimated": float(sum(r.estimates for r in self._records.values())),
            **record.quality(latest=True),
        }
        ahead = [
            (p, e.score) for p, e in zip(record.predicted, record.evaluations, strict=True) if p is not None
        ]
        if len(ahead) > 1:
            guessed, true = np.array(ahead, dtype=np.float64).T
            tau, rho = rank_correlations(guessed, true)
            found |= {"ahead": float(len(ahead)), "ahead_kendall": tau, "ahead_spearman": rho}
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base, and what was evaluated; models are fitted again from it."""
        return {
            "base": self.base.state_dict(),
            "records": [{"budget": b, **record.state_dict()} for b, record in self._records.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.base.load_state_dict(state["base"])
        for row in state["records"]:
            self._record(row["budget"]).load_state_dict(row)

    def _record(self, budget: int | None) -> Record:
        if budget not in self._records:
            self._records[budget] = Record(self.config, self.ctx.space, self.ctx.seed, budget)
        return self._records[budget]

    def _evaluate_base(
        self, record: Record, arch: Arch, budget: int | None, predicted: float | None
    ) -> Evaluation:
        result = self.base.evaluate(arch, budget=budget)
        if result.failed:
            return result
        record.add(replace(result, budget=budget), predicted)
        return replace(result, metrics={**result.metrics, "evaluated": float(len(record.evaluations))})

    def _costs(self, arch: Arch, record: Record) -> dict[str, float]:
        """Return those metrics of the base that the space knows of an architecture without evaluating it."""
        try:
            costs = self.ctx.constraints.cost(arch)
        except RunError:  # unknown, and a searcher would have been refused
            return {}
        return {name: float(value) for name, value in costs.items() if name in record.evaluations[-1].metrics}
