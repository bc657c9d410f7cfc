"""Architecture parameters: the continuous relaxation of choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Choice
from nasforge.nn.noise import architecture_noise
from nasforge.nn.output import Picked

__all__ = [
    "ArchParameters",
    "Dirichlet",
    "Gumbel",
    "Relaxation",
    "Sigmoid",
    "Softmax",
    "uniform_weights",
]

Logits = Mapping[str, Tensor]

W = TypeVar("W", Tensor, Tensor | int)


class Relaxation(ABC):
    """How the logits of choices become option weights.

    Attributes:
        simplex: Whether the weights of a choice add up to 1.
        progress: How far the search is: 0 in its first epoch, 1 in its last. The searcher sets it.
    """

    simplex: bool = True
    progress: float = 0.0

    @abstractmethod
    def mean(self, logits: Logits) -> dict[str, Tensor]:
        """Return option weights without noise, differentiable.

        Args:
            logits: Per choice, shape ``(options,)``, float32.
        """

    def weights(self, logits: Logits) -> dict[str, Tensor | int]:
        """Return what a network runs with: `mean`, or a draw from torch's global generator.

        Args:
            logits: Per choice, shape ``(options,)``, float32.
        """
        return dict(self.mean(logits))

    def strengths(self, logits: Logits) -> dict[str, Tensor]:
        """Return the numbers that an architecture is derived from. Default: `mean`.

        Args:
            logits: Per choice, shape ``(options,)``, float32.
        """
        return self.mean(logits)


class Softmax(Relaxation):
    """Every option runs, and a softmax weighs them (DARTS, Eq. 2)."""

    def mean(self, logits: Logits) -> dict[str, Tensor]:
        """Return the softmax of every choice."""
        return {name: values.softmax(0) for name, values in logits.items()}


class Gumbel(Softmax):
    """One drawn option runs; a straight-through weight of 1 carries its gradient (GDAS, section 3.2).

    An option is drawn with its softmax probability, by the Gumbel-max trick. Its weight has the value 1 and
    the gradient of the tempered softmax of logits and noise. Options that are not drawn give no gradient of
    their own; the published code adds their zero weight to the feature map, which gives them its sum.

    Args:
        start: Temperature in the first epoch.
        end: Temperature in the last epoch; a line in between.
    """

    def __init__(self, start: float = 10.0, end: float = 0.1) -> None:
        self._start, self._end = start, end

    @property
    def temperature(self) -> float:
        """The current one."""
        return self._start + (self._end - self._start) * self.progress

    def weights(self, logits: Logits) -> dict[str, Tensor | int]:
        """Return per choice the drawn index, with its weight where the logits are trained."""
        if not logits:
            return {}
        soft = {}
        for name, values in logits.items():
            noise = -torch.empty_like(values).exponential_().log()
            soft[name] = ((values.log_softmax(0) + noise) / self.temperature).softmax(0)
        # One transfer for all choices: fetching each would make a GPU wait for every one.
        drawn = torch.stack([weights.argmax() for weights in soft.values()]).tolist()
        return {
            name: Picked(index, 1.0 + (weights[index] - weights[index].detach()))
            if weights.requires_grad
            else index
            for (name, weights), index in zip(soft.items(), drawn, strict=True)
        }


class Dirichlet(Relaxation):
    """Option weights drawn from a Dirichlet distribution, with pathwise gradients (DrNAS, section 2.2).

    The concentrations are ``elu(logits) + 1``, so that logits of zero mean uniform over the simplex.
    """

    smallest = 1e-6
    """Concentrations stay above this: the distribution is not defined at zero."""

    def mean(self, logits: Logits) -> dict[str, Tensor]:
        """Return the mean of every distribution."""
        concentrations = self._concentrations(logits)
        return {name: values / values.sum() for name, values in concentrations.items()}

    def weights(self, logits: Logits) -> dict[str, Tensor | int]:
        """Return a draw for every choice."""
        # Checking the arguments would make a GPU wait for them.
        return {
            name: torch.distributions.Dirichlet(values, validate_args=False).rsample()
            for name, values in self._concentrations(logits).items()
        }

    def strengths(self, logits: Logits) -> dict[str, Tensor]:
        """Return the softmax of every choice: the published code derives from it, not from the mean."""
        return {name: values.softmax(0) for name, values in logits.items()}

    def _concentrations(self, logits: Logits) -> dict[str, Tensor]:
        return {name: self.concentration(values) for name, values in logits.items()}

    @classmethod
    def concentration(cls, logits: Tensor) -> Tensor:
        """Return the parameters of the Dirichlet distribution of a choice, ``(options,)``."""
        return (F.elu(logits) + 1.0).clamp_min(cls.smallest)


class Sigmoid(Relaxation):
    """Every option runs, each with a weight of its own: options do not compete (FairDARTS)."""

    simplex = False

    def mean(self, logits: Logits) -> dict[str, Tensor]:
        """Return the sigmoid of every logit."""
        return {name: values.sigmoid() for name, values in logits.items()}


class ArchParameters(nn.Module):
    """One logit per option of every given choice, and how they become option weights.

    Choices of operations follow the relaxation; choices of edges are always a softmax, because a node takes
    several of them.

    Args:
        choices: The choices to relax.
        std: Deviation of the normal distribution the logits start from.
        relaxation: The default is DARTS' softmax.

    Attributes:
        logits: Shape ``(options,)`` by choice name.
        relaxation: How the logits of operations become option weights.
        kept: Which options of a choice have not been pruned, ``(options,)`` of bool by choice name. Choices
            that are not in it have all of theirs.
    """

    def __init__(
        self, choices: Iterable[Choice], std: float = 1e-3, relaxation: Relaxation | None = None
    ) -> None:
        super().__init__()
        choices = tuple(choices)
        self.logits = nn.ParameterDict({c.name: std * torch.randn(len(c.options)) for c in choices})
        self.relaxation = relaxation or Softmax()
        self.kept: dict[str, Tensor] = {}
        self._edges = frozenset(c.name for c in choices if c.kind == "edge")

    def operation_logits(self) -> dict[str, Tensor]:
        """Return the logits of the choices of operations, in float32."""
        return {name: values.float() for name, values in self.logits.items() if name not in self._edges}

    def weights(self) -> dict[str, Tensor | int]:
        """Return what a network runs with, differentiable; see `Relaxation.weights`."""
        with architecture_noise():
            drawn = self.relaxation.weights(self.operation_logits())
        return {**self._edge_weights(), **{name: self._masked(name, w) for name, w in drawn.items()}}

    def mean(self) -> dict[str, Tensor]:
        """Return option weights without noise, differentiable, in float32."""
        return self._complete(self.relaxation.mean(self.operation_logits()))

    @torch.no_grad()
    def as_lists(self) -> dict[str, list[float]]:
        """Return what `SearchSpace.discretize` reads: `Relaxation.strengths` as plain numbers."""
        strengths = self._complete(self.relaxation.strengths(self.operation_logits()))
        return {name: weights.tolist() for name, weights in strengths.items()}

    @torch.no_grad()
    def prune(self, count: int) -> None:
        """Keep the ``count`` options of the largest logits of every choice of operations.

        Their logits stay as they are, those of pruned options become 0 (DrNAS, utils.py). The weights of kept
        options are scaled to add up to 1, where those of all options do; pruned options weigh nothing.

        Args:
            count: Choices that have no more options keep all of them.
        """
        for name, values in self.logits.items():
            if name in self._edges or values.numel() <= count:
                continue
            still = self.kept.get(name, torch.ones_like(values, dtype=torch.bool))
            best = values.masked_fill(~still, -torch.inf).topk(count).indices
            self.kept[name] = torch.zeros_like(still).index_fill_(0, best, True)
            values.masked_fill_(~self.kept[name], 0.0)

    @torch.no_grad()
    def entropy(self) -> float:
        """Return the mean entropy of the choices; 1 is a uniform choice, 0 a decided one."""
        shares = [
            float(-(w * w.clamp_min(1e-12).log()).sum() / torch.tensor(float(w.numel())).log())
            for w in self.shares().values()
            if w.numel() > 1
        ]
        return sum(shares) / max(len(shares), 1)

    @torch.no_grad()
    def confidence(self) -> float:
        """Return the mean over the choices of the heaviest option's weight; 1 is decided."""
        heaviest = [float(w.max()) for w in self.mean().values() if w.numel() > 1]
        return sum(heaviest) / max(len(heaviest), 1)

    def shares(self) -> dict[str, Tensor]:
        """Return `mean`, scaled to add up to 1 in every choice where it does not."""
        mean = self.mean()
        if self.relaxation.simplex:
            return mean
        return {name: w if name in self._edges else w / w.sum() for name, w in mean.items()}

    def _complete(self, operations: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return masked weights of operations and those of edges, in the order of the choices."""
        masked = {name: self._masked(name, weights) for name, weights in operations.items()}
        found = {**self._edge_weights(), **masked}
        return {name: found[name] for name in self.logits}

    def _masked(self, name: str, weights: W) -> W:
        if name not in self.kept or not isinstance(weights, Tensor):
            return weights
        masked = weights.masked_fill(~self.kept[name], 0.0)
        return masked / masked.sum().clamp_min(1e-12) if self.relaxation.simplex else masked

    def _edge_weights(self) -> dict[str, Tensor]:
        return {
            name: values.float().softmax(0) for name, values in self.logits.items() if name in self._edges
        }


def uniform_weights(
    choices: Iterable[Choice], *, device: torch.device | str | None = None
) -> dict[str, Tensor]:
    """Return constant option weights that average: a node then takes the mean of its inputs.

    Args:
        choices: The choices that are not learned.
        device: Where the weights live.
    """
    return {c.name: torch.full((len(c.options),), 1.0 / len(c.options), device=device) for c in choices}
