"""Modules at the places of a model that vary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.nn import ChoiceBlock, OptionWeights

__all__ = ["AddsNothing", "BlockOption", "BlockPlace", "PlacedChoice", "Route", "ScaleGate", "gated"]


class Route:
    """State that the places of a network share while it runs, as the model's own code cannot pass it on.

    Attributes:
        weights: Option weights by choice name.
        features: Outputs of the blocks that are features, by index.
    """

    def __init__(self) -> None:
        self.weights: OptionWeights | None = None
        self.features: dict[int, Tensor] = {}

    @contextmanager
    def using(self, weights: OptionWeights | None) -> Iterator[None]:
        """Run the places with these option weights inside the block."""
        before, self.weights = self.weights, weights
        try:
            yield
        finally:
            self.weights = before


class PlacedChoice(ChoiceBlock):
    """A `ChoiceBlock` that is called by code which knows nothing of option weights.

    Args:
        choice: The decision.
        make: Builds the module of an option.
        arch: The architecture; None makes every option.
        route: Has the option weights.
    """

    def __init__(
        self, choice: Choice, make: Callable[[str], nn.Module], arch: Arch | None, route: Route
    ) -> None:
        super().__init__(choice, make, arch)
        self.route = route

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return the weighted sum of the options at ``x``, by the given weights or those of the route."""
        return super().forward(x, self.route.weights if weights is None else weights)


class AddsNothing(nn.Module):
    """The rest of a branch whose shortcut lies outside it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the shape of ``x``."""
        return torch.zeros_like(x)


class BlockOption(nn.Module):
    """One form of a block.

    Args:
        block: The model's block, changed or not.
        route: Hands option weights to the choices inside.
    """

    def __init__(self, block: nn.Module, route: Route) -> None:
        super().__init__()
        self.block, self.route = block, route

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return what the block makes of ``x``.

        Args:
            x: ``(B, C, H, W)``.
            weights: For the choices inside; None takes those of the route.
        """
        if weights is None:
            found: Tensor = self.block(x)
            return found
        with self.route.using(weights):
            return self.forward(x)


class BlockPlace(nn.Module):
    """Where a block of the model was.

    Args:
        body: Its forms.
        route: Takes the output if it is a feature.
        tap: Index of the feature; None if it is not one.
    """

    def __init__(self, body: nn.Module, route: Route, tap: int | None) -> None:
        super().__init__()
        self.body, self.route, self.tap = body, route, tap

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the block."""
        y: Tensor = self.body(x)
        if self.tap is not None:
            self.route.features[self.tap] = y
        return y


class ScaleGate(nn.Module):
    """Squeeze-and-excitation (Hu et al., 2018) that begins as the identity.

    The gate is twice a sigmoid whose last layer starts at zero, so that it is 1 before any training and a
    trained network stays what it is.

    Args:
        channels: Channels in and out; a quarter of them in between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, max(1, channels // 4), 1)
        self.expand = nn.Conv2d(max(1, channels // 4), channels, 1)
        nn.init.zeros_(self.expand.weight)
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` scaled by its gate, shape ``(B, C, H, W)``."""
        means = x.mean((2, 3), keepdim=True)
        return x * (2.0 * torch.sigmoid(self.expand(torch.relu(self.reduce(means)))))


def gated(module: nn.Module, gate: nn.Module) -> nn.Module:
    """Return a module with a gate behind it."""
    both = nn.Sequential()
    both.add_module("gated", module)
    both.add_module("gate", gate)
    return both
