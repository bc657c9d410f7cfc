"""Find the blocks of a model, by its recordings or by rules of the recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from nasforge.errors import RunError, suggest
from nasforge_plugins.spaces.model.channels import ChannelSets, is_depthwise
from nasforge_plugins.spaces.model.config import BlockRule
from nasforge_plugins.spaces.model.plan import BlockPlan, InnerWidth
from nasforge_plugins.spaces.model.residual import can_change_kernel, find_branches, find_sum, read_block
from nasforge_plugins.spaces.model.tracing import ACTIVATIONS, NORMS, record

__all__ = ["find_blocks"]


@dataclass(frozen=True)
class _Unreadable:
    path: str
    name: str
    reason: str


def find_blocks(model: nn.Module, rules: Sequence[BlockRule]) -> tuple[BlockPlan, ...]:
    """Return the blocks of a model, in the order of its modules.

    A block is a module whose recording ends in the sum of a branch and a shortcut, or one of the same class,
    such as the first block of a stage that has no shortcut; or a module whose output is added to its input by
    the code around it. A class that a rule names is not recorded.

    Args:
        model: Any module.
        rules: How blocks of some classes may change.

    Raises:
        RunError: There is no block: says which modules cannot be recorded and why. Or a rule does not fit.
    """
    by_class = {rule.block: rule for rule in rules}
    classes = {type(module).__name__ for module in model.modules()}
    for name in by_class:
        if name not in classes:
            raise RunError(f"space.rules: no module of the model is a {name!r}.{suggest(name, classes)}")
    found: dict[str, BlockPlan] = {}
    plain: dict[str, tuple[type[nn.Module], BlockPlan]] = {}
    unreadable: list[_Unreadable] = []
    waiting = [("", model)]
    while waiting:
        path, module = waiting.pop()
        name = type(module).__name__
        if name in by_class:
            found[path] = _by_rule(path, module, by_class[name])
            continue
        if not any(isinstance(m, nn.Conv2d) for m in module.modules()) or isinstance(module, nn.Conv2d):
            continue
        children = [(f"{path}.{key}" if path else key, child) for key, child in module.named_children()]
        if not isinstance(module, nn.ModuleList | nn.ModuleDict):
            graph = record(module)
            if isinstance(graph, str):
                unreadable.append(_Unreadable(path, name, graph))
            elif path:
                plan = read_block(path, graph, module)
                if find_sum(graph, ChannelSets(graph, module)) is not None:
                    found[path] = plan
                    continue
                plain[path] = (type(module), plan)
            found |= _branches(path, module)
        waiting += [child for child in reversed(children) if child[0] not in found]
    found = {path: plan for path, plan in found.items() if _is_alone(model, path)}
    residual = {type(model.get_submodule(path)) for path in found}
    found |= {p: plan for p, (kind, plan) in plain.items() if kind in residual and _is_alone(model, p)}
    if not found:
        raise RunError(_nothing(model, unreadable))
    return tuple(found[path] for path, _ in model.named_modules() if path in found)


def _is_alone(model: nn.Module, path: str) -> bool:
    """Return whether no weight of a block is also that of something else: forms of a block are copies."""

    def places(module: nn.Module) -> Counter[int]:
        return Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))

    everywhere, inside = places(model), places(model.get_submodule(path))
    return all(everywhere[weight] == count for weight, count in inside.items())


def _branches(path: str, module: nn.Module) -> dict[str, BlockPlan]:
    """Return the branches whose shortcuts are in the code of the module around them."""
    shallow = record(module, shallow=True)
    if isinstance(shallow, str):
        return {}
    found = {}
    for name in find_branches(shallow, module):
        branch, where = module.get_submodule(name), f"{path}.{name}" if path else name
        graph = record(branch)
        if isinstance(branch, nn.Conv2d) or isinstance(graph, str):
            continue
        if any(isinstance(m, nn.Conv2d) for m in branch.modules()):
            found[where] = replace(read_block(where, graph, branch), drop=True, gate="", branch=True)
    return found


def _by_rule(path: str, block: nn.Module, rule: BlockRule) -> BlockPlan:
    where = f"space.rules: {rule.block!r}"
    modules = {name: module for name, module in block.named_modules() if name}

    def get(name: str, option: str) -> nn.Module:
        if name not in modules:
            raise RunError(
                f"{where}: {option} names {name!r}, which {path!r} does not have.{suggest(name, modules)}"
            )
        return modules[name]

    for name in rule.kernels:
        if not can_change_kernel(get(name, "kernels")):
            raise RunError(
                f"{where}: {name!r} of {path!r} is not a convolution with a square, odd kernel above 1 and a "
                "padding that keeps the size of its maps. Take it out of kernels."
            )
    for name in rule.activations:
        if type(get(name, "activations")) not in ACTIVATIONS.values():
            raise RunError(
                f"{where}: {name!r} of {path!r} is a {type(modules[name]).__name__}. Exchangeable are: "
                f"{', '.join(kind.__name__ for kind in ACTIVATIONS.values())}."
            )
    inner = tuple(
        _inner(f"{where}: narrow = {list(names)}", path, names, [get(n, "narrow") for n in names])
        for names in rule.narrow
    )
    channels = 0
    if rule.gate:
        end = get(rule.gate, "gate")
        channels = getattr(end, "out_channels", 0) or getattr(end, "num_features", 0)
        if not channels:
            raise RunError(f"{where}: gate names {rule.gate!r}, which is neither a convolution nor a norm.")
    return BlockPlan(path, rule.drop, inner, rule.kernels, rule.activations, rule.gate, channels)


def _inner(where: str, path: str, names: Sequence[str], modules: Sequence[nn.Module]) -> InnerWidth:
    """Sort the modules of an inner width by what they do with its channels."""
    if len(names) < 2:
        raise RunError(f"{where}: needs the convolution that makes the channels and the one that reads them.")
    first, last = modules[0], modules[-1]
    for name, module in ((names[0], first), (names[-1], last)):
        if not isinstance(module, nn.Conv2d) or module.groups != 1:
            raise RunError(
                f"{where}: begins and ends with a convolution of one group, and {name!r} of {path!r} is a "
                f"{type(module).__name__}."
            )
    assert isinstance(first, nn.Conv2d)
    channels, multiple = first.out_channels, 1
    sizes = {names[0]: channels}
    for name, module in zip(names[1:-1], modules[1:-1], strict=True):
        if isinstance(module, nn.Conv2d) and is_depthwise(module):
            sizes[name] = module.in_channels
        elif isinstance(module, NORMS):
            sizes[name] = getattr(module, "num_features", 0) or getattr(module, "num_channels", 0)
            multiple = getattr(module, "num_groups", 1)
        else:
            raise RunError(
                f"{where}: {name!r} of {path!r} is a {type(module).__name__}: between the two convolutions "
                "only norms and depthwise convolutions are listed."
            )
    sizes[names[-1]] = last.in_channels  # type: ignore[assignment]
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise RunError(
            f"{where}: these do not share their channels in {path!r}: {told}. List modules that the same "
            "channels pass."
        )
    return InnerWidth((names[0],), tuple(names[1:-1]), (names[-1],), channels, multiple)


def _nothing(model: nn.Module, unreadable: Sequence[_Unreadable]) -> str:
    head = f"space.model: found no residual block in {type(model).__name__} that could change."
    # The outer modules fail because of the inner ones.
    innermost = [
        one for one in unreadable if not any(o is not one and _inside(o.path, one.path) for o in unreadable)
    ]
    if not innermost:
        return (
            f"{head} Every module could be read by torch.fx, but none is the sum of a branch and a shortcut. "
            "Write a space of your own for other networks: see 'Write a space'."
        )
    listed = " ".join(_describe(one) for one in innermost[:3])
    more = f" So do {len(innermost) - 3} more." if len(innermost) > 3 else ""
    rule = innermost[0].name
    return (
        f"{head} {listed}{more} Write what may change in a block by hand, such as "
        f'[[space.rules]] with block = "{rule}", drop = true, narrow = [["conv1", "bn1", "conv2"]], '
        'kernels = ["conv2"].'
    )


def _inside(path: str, around: str) -> bool:
    return path != around and (not around or path.startswith(f"{around}."))


def _describe(one: _Unreadable) -> str:
    name = f"module {one.path!r}" if one.path else "the model itself"
    return f"torch.fx cannot read {name} ({one.name}): {one.reason.rstrip('.')}."
