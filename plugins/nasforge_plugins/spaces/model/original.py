"""The network that a space is made from, with what may change in it."""

from __future__ import annotations

import copy
from collections.abc import Sequence, Sized
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from nasforge.arch import Choice
from nasforge.errors import RunError
from nasforge.nn import FeatureInfo
from nasforge_plugins.spaces.model.config import ModelConfig
from nasforge_plugins.spaces.model.ends import Ends, find_ends
from nasforge_plugins.spaces.model.finding import find_blocks
from nasforge_plugins.spaces.model.loading import make_model
from nasforge_plugins.spaces.model.network import (
    DROP,
    FULL,
    GATE,
    NO_GATE,
    BlockChoices,
    activation_name,
)
from nasforge_plugins.spaces.model.patterns import Patterns
from nasforge_plugins.spaces.model.plan import BlockPlan, InnerWidth
from nasforge_plugins.spaces.model.slicing import narrowed_size
from nasforge_plugins.spaces.model.weights import load_weights

__all__ = ["Original"]


class Original:
    """A network as the recipe names it, and its choices.

    Args:
        config: Options of the space.

    Raises:
        RunError: The network cannot be made or run, has nothing that could change, or a pattern, rule or
            option does not fit it.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._features: dict[int, tuple[tuple[str, FeatureInfo], ...]] = {}
        self.model = make_model(config.model, config.arguments, config.seed)
        if config.weights:
            with torch.device("cpu"):
                load_weights(self.model, config.weights, find_ends(self.shadow, config.image_size))
            del self.shadow  # the last layer may be another one
        self.blocks = _choose(config, self.model)

    @cached_property
    def shadow(self) -> nn.Module:
        """The network on the meta device, for what depends on shapes alone."""
        return copy.deepcopy(self.model).to("meta")

    @cached_property
    def ends(self) -> Ends:
        """Its first and last layer."""
        return find_ends(self.shadow, self._config.image_size)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every decision, block by block."""
        return tuple(choice for block in self.blocks for choice in block.all)

    def features(self, side: int) -> tuple[tuple[str, FeatureInfo], ...]:
        """Return the blocks whose outputs are features: the last one before maps become smaller.

        Args:
            side: Of the images, in pixels.
        """
        if side not in self._features:
            self._features[side] = _features(self, side)
        return self._features[side]

    def copy(self) -> nn.Module:
        """Return a copy of the network, on the meta device if modules are made there now."""
        return copy.deepcopy(self.shadow if torch.empty(0).device.type == "meta" else self.model)


def _features(original: Original, side: int) -> tuple[tuple[str, FeatureInfo], ...]:
    shapes: dict[str, tuple[int, ...]] = {}

    def note(path: str) -> object:
        def hook(module: nn.Module, inputs: Sized, named: Sized, output: object) -> None:
            if len(inputs) + len(named) != 1:
                raise RunError(
                    f"space.model: block {path!r} is given {len(inputs) + len(named)} values, and only "
                    f'blocks of one map can vary. Leave it as it is: exclude = ["{path}"].'
                )
            if isinstance(output, Tensor):
                shapes[path] = tuple(output.shape)

        return hook

    shadow = original.shadow
    paths = [block.plan.path for block in original.blocks]
    hooks = [shadow.get_submodule(p).register_forward_hook(note(p), with_kwargs=True) for p in paths]  # type: ignore[arg-type]
    training = shadow.training
    try:
        with torch.no_grad(), torch.device("meta"):
            shadow.eval()(torch.zeros(1, original.ends.in_channels, side, side))
    finally:
        shadow.train(training)
        for hook in hooks:
            hook.remove()
    last: dict[int, tuple[str, FeatureInfo]] = {}
    for path, shape in shapes.items():
        if len(shape) != 4 or shape[2] != shape[3]:
            continue
        stride = max(1, round(side / shape[2]))
        if -(-side // stride) == shape[2]:
            last[shape[2]] = (path, FeatureInfo(shape[1], stride))
    return tuple(last.values())


def _choose(config: ModelConfig, model: nn.Module) -> tuple[BlockChoices, ...]:
    patterns = Patterns(config.include, config.exclude, (name for name, _ in model.named_modules()))
    plans = find_blocks(model, config.rules)
    blocks = tuple(b for plan in plans if (b := _choices_of(config, model, plan, patterns)).all)
    if not blocks:
        found = ", ".join(plan.path for plan in plans[:6])
        raise RunError(
            f"space: nothing may change in {config.model!r}: options = {list(config.options)}, include = "
            f"{list(config.include)} and exclude = {list(config.exclude)} leave no choice in its "
            f"{len(plans)} blocks ({found}{', …' if len(plans) > 6 else ''}). Allow more."
        )
    return blocks


def _choices_of(config: ModelConfig, model: nn.Module, plan: BlockPlan, patterns: Patterns) -> BlockChoices:
    path, name = plan.path, plan.path.replace(".", "/")

    def allowed(names: Sequence[str], option: str) -> list[str]:
        if option not in config.options:
            return []
        return [n for n in names if patterns.allow(f"{path}.{n}")]

    inner = tuple(w for w in plan.inner if len(allowed(w.producers, "width")) == len(w.producers))
    inner = inner if patterns.allow(path) else ()
    sizes = [FULL, *(f"w{p}" for p in _distinct_widths(inner, config))]
    if plan.drop and "drop" in config.options and patterns.allow(path):
        sizes.append(DROP)
    kernels = {}
    for conv in allowed(plan.kernels, "kernel"):
        side = model.get_submodule(f"{path}.{conv}").kernel_size[0]  # type: ignore[index]
        sides = [side, *(k for k in config.kernels if k != side)]
        if len(sides) > 1:
            where = f"{name}/{conv.replace('.', '/')}/kernel"
            kernels[conv] = Choice(where, tuple(f"k{k}" for k in sides))
    activations = tuple(allowed(plan.activations, "activation"))
    activation = None
    if activations:
        first = activation_name(model.get_submodule(f"{path}.{activations[0]}"))
        activations = tuple(
            a for a in activations if activation_name(model.get_submodule(f"{path}.{a}")) == first
        )
        others = tuple(a for a in config.activations if a != first)
        activation = Choice(f"{name}/activation", (first, *others)) if others else None
    gate = None
    if plan.gate and "gate" in config.options and patterns.allow(path):
        gate = Choice(f"{name}/gate", (NO_GATE, GATE))
    plan = replace(plan, inner=inner, kernels=tuple(kernels), activations=activations)
    size = Choice(name, tuple(sizes)) if len(sizes) > 1 else None
    return BlockChoices(plan, size, kernels, activation, gate, config.divisor)


def _distinct_widths(inner: Sequence[InnerWidth], config: ModelConfig) -> list[int]:
    """Return the widths, in percent, that differ from the original and from each other once rounded."""
    seen = {tuple(width.channels for width in inner)}
    found = []
    for percent in config.widths:
        sizes = tuple(narrowed_size(width, percent, config.divisor) for width in inner)
        if sizes not in seen:
            seen.add(sizes)
            found.append(percent)
    return found
