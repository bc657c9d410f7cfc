"""Take a supernet apart: which module stands for which option, and what its input looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.cost import count_parameters, measure_arch, plainly_computed
from nasforge.cost.additive import AdditiveCost, Picks, Term
from nasforge.errors import RunError
from nasforge.nn import ChoiceBlock, EdgeSum
from nasforge.plugins.capabilities import StandaloneParts
from nasforge.space import NetworkSpace, Scale, Task

__all__ = ["Item", "count_options", "itemize", "signature"]

PLAIN = (bool, int, float, str, tuple)

Found = tuple[str, Picks, nn.Module, str | None]


@dataclass(frozen=True)
class Item:
    """A module of a supernet that is there if some choices take some options.

    Attributes:
        name: The module's dotted name in the supernet.
        picks: These choices and options, outermost first.
        module: It.
        shapes: Of its input, one per call, for one image.
        around: Name of the item that it lies inside, if there is one; what that costs by itself is what the
            items inside it leave.
        make: Builds it anew, if it is not a module of the supernet.
    """

    name: str
    picks: Picks
    module: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    around: str | None
    make: Callable[[], nn.Module] | None = None


def itemize(space: NetworkSpace[Any], task: Task, scale: Scale = "final") -> tuple[nn.Module, list[Item]]:
    """Take the supernet of a space apart, without computing anything.

    Args:
        space: Its networks vary by `ChoiceBlock` and `EdgeSum` only, or it has `StandaloneParts`.
        task: Input and output sizes.
        scale: Which supernet.

    Returns:
        The supernet on the meta device, and its items in the order of its modules.

    Raises:
        RunError: A choice of the space is neither a `ChoiceBlock` nor an `EdgeSum` of its supernet.
    """
    with torch.device("meta"):
        network = plainly_computed(space).build(task, None, scale)
    if isinstance(space, StandaloneParts):
        return network, list(_standing_alone(space, task))
    found = list(_options(network, "", (), None))
    known = {choice for _, picks, _, _ in found for choice, _ in picks}
    if missing := [c.name for c in space.choices if c.name not in known]:
        raise RunError(
            f"{type(space).__name__}: choice {missing[0]!r} is not a ChoiceBlock or EdgeSum of its supernet, "
            "so the cost of a single option is unknown. Build its options with nasforge.nn, or give the "
            "space the capability StandaloneParts."
        )
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name, _, _, _ in found}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                shapes[name].append(tuple(inputs[0].shape))

        return hook

    hooks = [module.register_forward_pre_hook(note(name)) for name, _, module, _ in found]
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, task.in_channels, task.image_size, task.image_size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    items = [Item(name, picks, module, tuple(shapes[name]), around) for name, picks, module, around in found]
    if silent := [item.name for item in items if not item.shapes]:
        raise RunError(
            f"{type(space).__name__}: {silent[0]!r} was never called when its supernet ran without option "
            "weights, which means every option with weight 1. Check the space: nasforge plugins check."
        )
    return network, items


def count_options(space: NetworkSpace[Any], task: Task, scale: Scale = "final") -> AdditiveCost:
    """Return ``params`` and ``macs`` of every option.

    Args:
        space: Its networks vary by `ChoiceBlock` and `EdgeSum` only.
        task: Input and output sizes.
        scale: Which networks.

    Raises:
        RunError: See `itemize`.
    """
    _, items = itemize(space, task, scale)
    macs: dict[tuple[str, tuple[int, ...]], int] = {}
    totals: dict[str, dict[str, float]] = {}
    for item in items:
        kind = signature(item.module)
        for shape in item.shapes:
            if (kind, shape) not in macs:
                macs[kind, shape] = _macs(item.module, shape)
        totals[item.name] = {
            "params": float(count_parameters(item.module)),
            "macs": float(sum(macs[kind, shape] for shape in item.shapes)),
        }
    own = {name: dict(costs) for name, costs in totals.items()}
    for item in items:
        if item.around is not None:
            for cost, value in totals[item.name].items():
                own[item.around][cost] -= value
    terms = [Term(item.picks, own[item.name]) for item in items]
    options = AdditiveCost(space.choices, {"params": 0.0, "macs": 0.0}, terms)
    # What is always there is told by a small network: running the whole supernet would take far longer.
    small = space.discretize(options.preferences("params"))
    whole = measure_arch(space, task, small, scale)
    rest = {name: getattr(whole, name) - cost for name, cost in options.of(small).items()}
    return AdditiveCost(space.choices, rest, terms)


def signature(module: nn.Module) -> str:
    """Return a text that is equal for modules that compute alike: their classes, numbers and shapes.

    Args:
        module: Any module. Attributes that are numbers, text or tuples count, unless their names begin with
            ``_``; so do the shapes of parameters and buffers.
    """
    lines = []
    for name, part in module.named_modules():
        settings = {
            key: value
            for key, value in sorted(vars(part).items())
            if isinstance(value, PLAIN) and not key.startswith("_") and key != "training"
        }
        own = [(n, tuple(t.shape)) for n, t in part.named_parameters(recurse=False)]
        own += [(n, tuple(t.shape)) for n, t in part.named_buffers(recurse=False)]
        lines.append(f"{name}: {type(part).__qualname__} {settings} {own}")
    return "\n".join(lines)


def _options(module: nn.Module, name: str, picks: Picks, around: str | None) -> Iterator[Found]:
    """Yield every option inside a module: name, picks, module, and the name of the option around it."""
    holder = {ChoiceBlock: "options", EdgeSum: "edges"}
    held = next((held for kind, held in holder.items() if isinstance(module, kind)), None)
    for key, child in module.named_children():
        path = f"{name}.{key}" if name else key
        if key != held:
            yield from _options(child, path, picks, around)
            continue
        assert isinstance(module, ChoiceBlock | EdgeSum)
        for option, inner in child.named_children():
            taken: Picks = (*picks, (module.choice.name, option))
            yield f"{path}.{option}", taken, inner, around
            yield from _options(inner, f"{path}.{option}", taken, f"{path}.{option}")


def _standing_alone(space: StandaloneParts, task: Task) -> Iterator[Item]:
    """Yield the parts that a space names; those of one function share a module."""
    modules: dict[Callable[[], nn.Module], nn.Module] = {}
    for number, part in enumerate(space.parts(task)):
        if part.make not in modules:
            with torch.device("meta"):
                modules[part.make] = part.make().eval()
        yield Item(f"part{number}", part.picks, modules[part.make], (part.shape,), None, part.make)


def _macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    from torch.utils.flop_counter import FlopCounterMode  # imports Triton, which takes 70 MiB

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(shape, device="meta"))
    return int(counter.get_total_flops() // 2)
