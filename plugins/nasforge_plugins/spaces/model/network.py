"""Networks and supernets of the model space: the model itself, with other modules at some places."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.nn import FeatureInfo, Network, OptionWeights, Output
from nasforge_plugins.spaces.model.ends import logits_of, put
from nasforge_plugins.spaces.model.layers import (
    AddsNothing,
    BlockOption,
    BlockPlace,
    PlacedChoice,
    Route,
    ScaleGate,
    gated,
)
from nasforge_plugins.spaces.model.plan import BlockPlan
from nasforge_plugins.spaces.model.slicing import narrow, narrowed_size, resize_kernel
from nasforge_plugins.spaces.model.tracing import ACTIVATIONS

__all__ = ["DROP", "FULL", "GATE", "NO_GATE", "BlockChoices", "ModelNetwork", "activation_name"]

FULL, DROP = "full", "drop"
NO_GATE, GATE = "none", "se"


@dataclass(frozen=True)
class BlockChoices:
    """The choices of a block.

    Attributes:
        plan: The block.
        size: Leave it out, or how wide it is inside; None if neither may change.
        kernels: By convolution.
        activation: Of all its activations.
        gate: Behind its branch.
        divisor: Divides narrowed widths.
    """

    plan: BlockPlan
    size: Choice | None
    kernels: Mapping[str, Choice]
    activation: Choice | None
    gate: Choice | None
    divisor: int

    @property
    def all(self) -> tuple[Choice, ...]:
        """Every choice, that of the size first."""
        found = (self.size, *self.kernels.values(), self.activation, self.gate)
        return tuple(choice for choice in found if choice is not None)


class ModelNetwork(Network):
    """A model whose blocks vary.

    Args:
        model: Is changed: its blocks are replaced.
        blocks: The blocks that vary.
        arch: The architecture; None makes every option.
        taps: Paths of the blocks whose outputs are features.
        info: Their shapes.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: Sequence[BlockChoices],
        arch: Arch | None,
        taps: Sequence[str],
        info: Sequence[FeatureInfo],
    ) -> None:
        super().__init__()
        self.feature_info = tuple(info)
        self.route = Route()
        for block in blocks:
            path = block.plan.path
            tap = taps.index(path) if path in taps else None
            body = _vary(model.get_submodule(path), block, arch, self.route)
            put(model, path, BlockPlace(body, self.route, tap))
        self.model = model

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images ``(B, C, S, S)``; see `Network`."""
        self.route.features = {}
        with self.route.using(weights):
            logits = logits_of(self.model(x))
        features, self.route.features = self.route.features, {}
        return Output(logits, tuple(features[i] for i in sorted(features)))


def activation_name(module: nn.Module) -> str:
    """Return the name of an activation that can be exchanged."""
    return next(name for name, kind in ACTIVATIONS.items() if type(module) is kind)


def _vary(block: nn.Module, choices: BlockChoices, arch: Arch | None, route: Route) -> nn.Module:
    make = partial(_form, block, choices, arch, route)
    return make(FULL) if choices.size is None else PlacedChoice(choices.size, make, arch, route)


def _form(block: nn.Module, choices: BlockChoices, arch: Arch | None, route: Route, option: str) -> nn.Module:
    if option == DROP:
        return AddsNothing() if choices.plan.branch else nn.Identity()
    form, plan = copy.deepcopy(block), choices.plan
    if option != FULL:
        for inner in plan.inner:
            narrow(form, inner, narrowed_size(inner, int(option[1:]), choices.divisor))
    for name, choice in choices.kernels.items():
        conv = form.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        _place(form, name, choice, partial(_convolution, conv), arch, route)
    if choices.activation is not None:
        for name in plan.activations:
            original = form.get_submodule(name)
            _place(form, name, choices.activation, partial(_activation, original), arch, route)
    if choices.gate is not None:
        gate = PlacedChoice(choices.gate, partial(_gate, plan.gate_channels), arch, route)
        put(form, plan.gate, gated(form.get_submodule(plan.gate), gate))
    return BlockOption(form, route)


def _place(
    form: nn.Module,
    name: str,
    choice: Choice,
    make: Callable[[str], nn.Module],
    arch: Arch | None,
    route: Route,
) -> None:
    put(form, name, PlacedChoice(choice, make, arch, route))


def _convolution(conv: nn.Conv2d, option: str) -> nn.Module:
    return resize_kernel(conv, int(option[1:]))


def _activation(original: nn.Module, option: str) -> nn.Module:
    same = option == activation_name(original)
    # Options of a supernet are added up from one input, which none of them may overwrite.
    made = copy.deepcopy(original) if same else ACTIVATIONS[option]()
    if hasattr(made, "inplace"):
        setattr(made, "inplace", False)  # noqa: B010 - not all activations have it
    return made


def _gate(channels: int, option: str) -> nn.Module:
    return nn.Identity() if option == NO_GATE else ScaleGate(channels)
