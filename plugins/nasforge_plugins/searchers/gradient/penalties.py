"""Terms of the architecture's loss that look at nothing but its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from nasforge.arch import Choice
from nasforge.errors import RecipeError, suggest
from nasforge.nn import ArchParameters, Dirichlet
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gradient.cost import CostPenalty
from nasforge_plugins.searchers.gradient.options import PenaltyOptions, RegularizerOptions

__all__ = [
    "L1Penalty",
    "Regularizers",
    "divergence_from_uniform",
    "fading",
    "make_l1",
    "mean_entropy",
    "mean_log_sum_exp",
    "zero_one_loss",
]


def fading(epoch: int, *, coefficient: float, ratio: float, epochs: int) -> float:
    """Return the strength of a penalty that falls on a line from ``coefficient`` to 0.

    Args:
        epoch: From 0, where the strength is ``coefficient``.
        coefficient: The first strength.
        ratio: Share of ``epochs`` after which it is 0.
        epochs: Length of the search.
    """
    return max(coefficient * (1.0 - epoch / (epochs * ratio)), 0.0)


class L1Penalty:
    """The absolute values of the raw logits of some options (not of their softmax), added or averaged.

    Against options without weights, which otherwise win because they learn nothing slower.

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
            problems = [
                f"penalty.options: no choice has {option!r}.{suggest(option, known)}" for option in unknown
            ]
            problems[-1] += " Name options of this space, or set penalty.options = [] to penalise none."
            raise RecipeError("[searcher]", problems)
        self._names = [c.name for c in choices]
        penalised = [option in options for c in choices for option in c.options]
        found = [i for i, chosen in enumerate(penalised) if chosen]
        self._positions = torch.tensor(found, dtype=torch.long)
        self._factor = multiplier
        if mean:
            self._factor /= max(1, len(self._positions))

    def __call__(self, logits: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty at strength 1, a scalar.

        Args:
            logits: Raw architecture parameters by choice name.
        """
        if not self._names:
            return torch.zeros(())
        every = torch.cat([logits[name] for name in self._names])
        # Brought to the device once: a copy in every step would make a GPU wait.
        self._positions = self._positions.to(every.device)
        return self._factor * every.index_select(0, self._positions).float().abs().sum()


def make_l1(space: NetworkSpace[Any], options: PenaltyOptions) -> L1Penalty:
    """Return the penalty on a space's choices of operations.

    Args:
        space: The space that is searched.
        options: Penalised options, multiplier and reduction.

    Raises:
        RecipeError: No choice has one of the options.
    """
    operations = [c for c in space.choices if c.kind == "op"]
    present = {option for choice in operations for option in choice.options}
    chosen = space.parameter_free & present if options.options is None else options.options
    return L1Penalty(operations, chosen, options.multiplier, options.reduction == "mean")


class Regularizers:
    """The terms of `RegularizerOptions`.

    Args:
        options: Their strengths.
        cost: The penalty on the expected cost, if there is one.
    """

    def __init__(self, options: RegularizerOptions, cost: CostPenalty | None = None) -> None:
        self._options, self._cost = options, cost

    def __call__(self, alpha: ArchParameters, epoch: float | Tensor) -> Tensor | None:
        """Return what to add to the loss, a scalar; None if every strength is 0.

        Args:
            alpha: The architecture parameters.
            epoch: Since the architecture began to learn, from 0; a scalar.
        """
        options = self._options
        terms = []
        if options.beta_decay:
            terms.append(options.beta_decay * epoch * mean_log_sum_exp(alpha.operation_logits()))
        if options.entropy:
            terms.append(options.entropy * mean_entropy(alpha.shares()))
        if options.kl:
            terms.append(options.kl * divergence_from_uniform(alpha.operation_logits()))
        if options.zero_one:
            terms.append(options.zero_one * zero_one_loss(alpha.relaxation.mean(alpha.operation_logits())))
        if self._cost is not None:
            terms.append(self._cost(alpha.shares()))
        return torch.stack(terms).sum() if terms else None

    @torch.no_grad()
    def metrics(self, alpha: ArchParameters) -> dict[str, float]:
        """Return the expected cost, such as ``expected_macs``, if it is penalised.

        Args:
            alpha: The architecture parameters.
        """
        if self._cost is None:
            return {}
        expected = self._cost.expected
        return {f"expected_{expected.name}": float(expected(alpha.shares()))}


def mean_log_sum_exp(logits: Mapping[str, Tensor]) -> Tensor:
    """Return the smooth maximum of a choice's logits, averaged over the choices (β-DARTS, beta-decay loss).

    Its gradient is the softmax: it pulls every logit down by the weight of its option, whereas the decay of
    Adam, rescaled by the second moment, pulls small ones as much as large ones.

    Args:
        logits: Per choice, shape ``(options,)``.
    """
    return torch.stack([values.logsumexp(0) for values in logits.values()]).mean()


def divergence_from_uniform(logits: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the KL divergences of Dirichlet distributions from the uniform one.

    As `_get_kl_reg` in model_search.py of xiangning-chen/DrNAS.

    Args:
        logits: Per choice, shape ``(options,)``; see `nasforge.nn.Dirichlet`. Pruned ones count too.
    """
    # Checking the arguments would make a GPU wait for them.
    make = partial(torch.distributions.Dirichlet, validate_args=False)
    learned = (make(Dirichlet.concentration(values)) for values in logits.values())
    parts = [torch.distributions.kl_divergence(q, make(torch.ones_like(q.concentration))) for q in learned]
    return torch.stack(parts).sum()


def mean_entropy(weights: Mapping[str, Tensor]) -> Tensor:
    """Return the mean entropy of the choices, a scalar; 1 is uniform, 0 decided.

    Args:
        weights: Per choice, shape ``(options,)``, adding up to 1.
    """
    open_choices = [w for w in weights.values() if w.numel() > 1]
    shares = [-torch.special.xlogy(w, w.clamp_min(1e-12)).sum() / _log(w.numel()) for w in open_choices]
    return torch.stack(shares).mean() if shares else torch.zeros(())


def zero_one_loss(weights: Mapping[str, Tensor]) -> Tensor:
    """Return minus the mean squared distance of all weights from one half (FairDARTS, zero-one loss).

    Args:
        weights: Per choice, shape ``(options,)``.
    """
    return -(torch.cat(list(weights.values())) - 0.5).square().mean()


@cache
def _log(options: int) -> float:
    """Return a logarithm in float32, as a number: a tensor would have to be brought to the device."""
    return float(torch.tensor(float(options)).log())
