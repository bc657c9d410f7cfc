"""Architecture parameters: the continuous relaxation of choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Choice
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


class Relaxation(ABC):
    """How the logits of choices become option weights.

    Attributes:
        simplex: Whether the weights of a choice add up to 1.
        progress: How far the search is: 0 in its first epoch, 1 in its last. Whoever searches sets it.
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
        return {
            name: torch.distributions.Dirichlet(values).rsample()
            for name, values in self._concentrations(logits).items()
        }

    def _concentrations(self, logits: Logits) -> dict[str, Tensor]:
        return {name: (F.elu(values) + 1.0).clamp_min(self.smallest) for name, values in logits.items()}


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
    """

    def __init__(
        self, choices: Iterable[Choice], std: float = 1e-3, relaxation: Relaxation | None = None
    ) -> None:
        super().__init__()
        choices = tuple(choices)
        self.logits = nn.ParameterDict({c.name: std * torch.randn(len(c.options)) for c in choices})
        self.relaxation = relaxation or Softmax()
        self._edges = frozenset(c.name for c in choices if c.kind == "edge")

    def operation_logits(self) -> dict[str, Tensor]:
        """Return the logits of the choices of operations, in float32."""
        return {name: values.float() for name, values in self.logits.items() if name not in self._edges}

    def weights(self) -> dict[str, Tensor | int]:
        """Return what a network runs with, differentiable; see `Relaxation.weights`."""
        drawn = self.relaxation.weights(self.operation_logits())
        return {**self._edge_weights(), **drawn}

    def mean(self) -> dict[str, Tensor]:
        """Return option weights without noise, differentiable, in float32."""
        mean = {**self._edge_weights(), **self.relaxation.mean(self.operation_logits())}
        return {name: mean[name] for name in self.logits}

    @torch.no_grad()
    def as_lists(self) -> dict[str, list[float]]:
        """Return `mean` as plain numbers, for `SearchSpace.discretize`."""
        return {name: weights.tolist() for name, weights in self.mean().items()}

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
