"""A distribution over the architectures of a space: independent choices, each with logits that learn."""

import math
from collections.abc import Sequence
from itertools import permutations
from random import Random

import torch
from nasforge.arch import Arch, Choice
from torch import Tensor, nn

__all__ = ["Policy"]


class Policy(nn.Module):
    """Draws the options of every choice with the softmax of its logits, several without replacement.

    Args:
        choices: The choices of a space. All options start equally likely.
    """

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.logits = nn.ParameterList([nn.Parameter(torch.zeros(len(c.options))) for c in self.choices])

    def draw(self, rng: Random) -> Arch:
        """Draw an architecture.

        The largest of logits plus Gumbel noise are a draw without replacement (Kool et al., 2019).

        Args:
            rng: The only source of randomness.
        """
        picks = {}
        for choice, logits in zip(self.choices, self.logits, strict=True):
            noisy = [value - math.log(-math.log(1 - rng.random())) for value in logits.tolist()]
            ranked = sorted(range(len(noisy)), key=lambda i: -noisy[i])
            picks[choice.name] = tuple(choice.options[i] for i in sorted(ranked[: choice.k]))
        return Arch(picks)

    def log_prob(self, arch: Arch) -> Tensor:
        """Return the logarithm of the probability of drawing an architecture, a scalar.

        Args:
            arch: Answers every choice.
        """
        terms = []
        for choice, logits in zip(self.choices, self.logits, strict=True):
            taken = [choice.options.index(option) for option in arch[choice.name]]
            # A set may have been drawn in any order.
            orders = [self._log_prob_of_order(logits, order) for order in permutations(taken)]
            terms.append(torch.logsumexp(torch.stack(orders), 0))
        return torch.stack(terms).sum()

    def entropy(self) -> Tensor:
        """Return how undecided the policy is about single options, in nats, summed over the choices."""
        return torch.stack([-(x.softmax(0) * x.log_softmax(0)).sum() for x in self.logits]).sum()

    @staticmethod
    def _log_prob_of_order(logits: Tensor, order: Sequence[int]) -> Tensor:
        left, total = list(range(len(logits))), logits.new_zeros(())
        for index in order:
            total = total + logits[index] - torch.logsumexp(logits[left], 0)
            left = [i for i in left if i != index]
        return total
