"""Architecture parameters: the continuous relaxation of choices."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nasforge.arch import Choice

__all__ = ["ArchParameters", "uniform_weights"]


class ArchParameters(nn.Module):
    """One logit per option of every given choice; a softmax makes them option weights (DARTS, Eq. 2).

    Args:
        choices: The choices to relax.
        std: Deviation of the normal distribution the logits start from.
    """

    def __init__(self, choices: Iterable[Choice], std: float = 1e-3) -> None:
        super().__init__()
        self.logits = nn.ParameterDict({c.name: std * torch.randn(len(c.options)) for c in choices})

    def weights(self) -> dict[str, Tensor]:
        """Return option weights that sum to 1 per choice, differentiable, in float32."""
        return {name: logits.float().softmax(0) for name, logits in self.logits.items()}

    @torch.no_grad()
    def as_lists(self) -> dict[str, list[float]]:
        """Return the option weights as plain numbers, for `SearchSpace.discretize`."""
        return {name: weights.tolist() for name, weights in self.weights().items()}

    @torch.no_grad()
    def entropy(self) -> float:
        """Return the mean entropy of the choices; 1 is a uniform choice, 0 a decided one."""
        shares = [
            float(-(w * w.clamp_min(1e-12).log()).sum() / torch.tensor(float(w.numel())).log())
            for w in self.weights().values()
            if w.numel() > 1
        ]
        return sum(shares) / max(len(shares), 1)

    @torch.no_grad()
    def confidence(self) -> float:
        """Return the mean over the choices of the heaviest option's weight; 1 is decided."""
        heaviest = [float(w.max()) for w in self.weights().values() if w.numel() > 1]
        return sum(heaviest) / max(len(heaviest), 1)


def uniform_weights(
    choices: Iterable[Choice], *, device: torch.device | str | None = None
) -> dict[str, Tensor]:
    """Return constant option weights that average: a node then takes the mean of its inputs.

    Args:
        choices: The choices that are not learned.
        device: Where the weights live.
    """
    return {c.name: torch.full((len(c.options),), 1.0 / len(c.options), device=device) for c in choices}
