"""The two places where a network varies: which operation, and which inputs.

Both are the plain reference: one module per option, each computed by itself. A space may compute the same
numbers faster from the same parameters; these blocks then only hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.nn.output import OptionWeights, Picked
from nasforge.nn.partial import bypass

__all__ = ["ChoiceBlock", "EdgeSum", "pick_options", "weighted_sum"]


class ChoiceBlock(nn.Module):
    """The operations of one choice: all of them in a supernet, only the picked ones in a network.

    Args:
        choice: The decision.
        make: Builds the module of an option.
        arch: The architecture; None makes every option.
        share: The options see the first of so many groups of channels, see `nasforge.nn.bypass`; ``make``
            then builds them for so many fewer channels.
    """

    def __init__(
        self, choice: Choice, make: Callable[[str], nn.Module], arch: Arch | None = None, *, share: int = 1
    ) -> None:
        super().__init__()
        self.choice = choice
        self.share = share
        self.options = nn.ModuleDict({o: make(o) for o in pick_options(choice, arch)})

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return the weighted sum of the options at ``x``; see `OptionWeights`."""
        if self.share > 1:
            return bypass(x, self.share, partial(self.mix, weights=weights))
        return self.mix(x, weights)

    def mix(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return the weighted sum of the options at the channels that they see."""
        terms = ((name, partial(option, x)) for name, option in self.options.items())
        return weighted_sum(self.choice, terms, weights)


class EdgeSum(nn.Module):
    """The sum of a node's incoming edges, of which an ``"edge"`` choice keeps some.

    Args:
        choice: The decision; its options name the inputs.
        make: Builds the module between an input and the node.
        arch: The architecture; None makes every edge.
    """

    def __init__(self, choice: Choice, make: Callable[[str], nn.Module], arch: Arch | None = None) -> None:
        super().__init__()
        self.choice = choice
        self.edges = nn.ModuleDict({e: make(e) for e in pick_options(choice, arch)})

    def forward(self, inputs: Mapping[str, Tensor], weights: OptionWeights | None = None) -> Tensor:
        """Return the weighted sum of the edges.

        Args:
            inputs: Feature maps by name; at least those of the edges that exist.
            weights: Option weights, for this choice and for choices inside the edges.
        """
        terms = ((name, partial(edge, inputs[name], weights)) for name, edge in self.edges.items())
        return weighted_sum(self.choice, terms, weights)


def pick_options(choice: Choice, arch: Arch | None) -> tuple[str, ...]:
    """Return the options to build in the choice's own order, so that equal architectures are built alike."""
    return choice.options if arch is None else tuple(o for o in choice.options if o in arch[choice.name])


def weighted_sum(
    choice: Choice, terms: Iterable[tuple[str, Callable[[], Tensor]]], weights: OptionWeights | None
) -> Tensor:
    """Add the terms of a choice under its weights; a term that is not needed is not computed.

    Args:
        choice: The decision.
        terms: Option name and what computes it, for the options that exist.
        weights: Option weights by choice name.
    """
    scale = None if weights is None else weights.get(choice.name)
    if scale is None:
        return _add(term() for _, term in terms)
    if isinstance(scale, int):
        only = next(term() for option, term in terms if option == choice.options[scale])
        return scale.weight * only if isinstance(scale, Picked) else only
    return _add(scale[choice.options.index(option)] * term() for option, term in terms)


def _add(terms: Iterable[Tensor]) -> Tensor:
    iterator = iter(terms)
    total = next(iterator)
    for term in iterator:
        total = torch.add(total, term)
    return total
