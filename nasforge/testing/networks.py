"""Checks of the networks and supernets of a space."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.arch import Arch
from nasforge.cost import count_parameters, measure, measure_arch
from nasforge.nn import Network, Output, Picked, copy_shared, one_hot
from nasforge.nn.elastic import place_slice, sliced_tensors
from nasforge.space import NetworkSpace, Scale, Task
from nasforge.testing.common import ConformanceError, Rule, Subject, require

__all__ = ["CHECKS"]

SCALES: tuple[Scale, ...] = get_args(Scale)
ARCHITECTURES = 2


def network_is_part_of_supernet(subject: Subject) -> None:
    """At every scale, the tensors of a network are some of its supernet's, or slices of them (law 2)."""
    for scale, supernet, _, network in _pairs(subject, copy=False):
        theirs, sliced = supernet.state_dict(), sliced_tensors(supernet)
        for name, tensor in network.state_dict().items():
            require(
                name in theirs,
                f"scale {scale!r}: the network has a tensor {name!r} that its supernet lacks. Build both "
                "with the same code, from ChoiceBlock and EdgeSum: weights are copied by name.",
            )
            shape, whole = tuple(tensor.shape), tuple(theirs[name].shape)
            require(
                shape == whole or (name in sliced and place_slice(shape, whole, sliced[name]) is not None),
                f"scale {scale!r}: {name!r} is {shape} in the network and {whole} in its supernet. Only "
                "tensors of modules that derive from nasforge.nn.Sliced may be slices: leading ones, or, in "
                "dimensions that 'centred' names, smaller by an even number.",
            )


def one_hot_law(subject: Subject) -> None:
    """With copied weights, a network computes what its supernet computes under one-hot weights (law 1)."""
    x = _images(subject)
    for scale, supernet, arch, network in _pairs(subject):
        weights = one_hot(subject.make().choices, arch, dtype=torch.float64)
        _compare(supernet(x, weights), network(x), f"scale {scale!r}: the supernet under one-hot weights")


def one_path_law(subject: Subject) -> None:
    """A whole number as option weight runs that option alone, times the weight of a `Picked`."""
    x = _images(subject)
    for scale, supernet, arch, network in _pairs(subject):
        choices = subject.make().choices
        weights: dict[str, Any] = one_hot(choices, arch, dtype=torch.float64)
        weights |= {c.name: c.options.index(arch[c.name][0]) for c in choices if c.k == 1 and arch[c.name]}
        out = supernet(x, weights)
        _compare(out, network(x), f"scale {scale!r}: the supernet with option numbers as weights")
        half = torch.tensor(0.5, dtype=torch.float64)
        halves = {c.name: half * one_hot([c], arch)[c.name] for c in choices if c.k == 1 and arch[c.name]}
        picked = {name: Picked(int(w.argmax()), half) for name, w in halves.items()}
        out, expected = supernet(x, {**weights, **picked}), supernet(x, {**weights, **halves})
        _compare(out, expected, f"scale {scale!r}: the supernet with Picked(option number, 0.5) as weights")


def missing_weights_are_ones(subject: Subject) -> None:
    """A choice without weights runs every option with weight 1."""
    x, choices = _images(subject), subject.make().choices
    ones = {c.name: torch.ones(len(c.options), dtype=torch.float64) for c in choices}
    some = {name: weight for i, (name, weight) in enumerate(ones.items()) if i % 2}
    for scale, supernet in _supernets(subject):
        plain = supernet(x)
        _compare(supernet(x, ones), plain, f"scale {scale!r}: the supernet with all weights 1")
        _compare(supernet(x, some), plain, f"scale {scale!r}: the supernet with half of the weights left out")


def every_choice_has_an_effect(subject: Subject) -> None:
    """The output has a gradient for the weights of every choice."""
    space, x = subject.make(), _images(subject)
    for scale in ("search", "eval"):
        torch.manual_seed(0)
        net = space.build(subject.partners.task, scale=scale).double()
        weights = {
            c.name: (0.5 + torch.rand(len(c.options), dtype=torch.float64)).requires_grad_()
            for c in space.choices
        }
        net(x, weights).logits.square().sum().backward()
        for name, weight in weights.items():
            require(
                weight.grad is not None and weight.grad.abs().sum() > 0,
                f"scale {scale!r}: the weights of choice {name!r} have no effect on the logits, so no "
                "gradient search can learn it. Pass `weights` down to its ChoiceBlock or EdgeSum.",
            )


def feature_info_is_true(subject: Subject) -> None:
    """``feature_info`` gives channels and stride of every feature, at every scale."""
    task, x = subject.partners.task, _images(subject)
    for scale, supernet, _, network in _pairs(subject, 1):
        for what, net in (("network", network), ("supernet", supernet)):
            out, where = net(x), f"{what} at scale {scale!r}"
            require(
                len(net.feature_info) == len(out.features),
                f"{where}: {len(out.features)} features, but {len(net.feature_info)} in feature_info.",
            )
            for i, (info, feature) in enumerate(zip(net.feature_info, out.features, strict=True)):
                side = -(-task.image_size // info.stride)
                expected = (x.shape[0], info.channels, side, side)
                require(
                    tuple(feature.shape) == expected,
                    f"{where}: feature {i} is {tuple(feature.shape)}, but feature_info says {expected} "
                    f"({info.channels} channels, stride {info.stride}).",
                )


def networks_fit_the_task(subject: Subject) -> None:
    """Networks take the task's channels and image size, and return one logit per class."""
    space = subject.make()
    for task in (Task(1, subject.partners.task.image_size, 7), subject.partners.task):
        arch = space.sample(Random(1))
        for scale in SCALES:
            out = space.build(task, arch, scale)(torch.zeros(2, task.in_channels, *[task.image_size] * 2))
            require(isinstance(out, Output), f"a network must return an Output, got {type(out).__name__}.")
            require(
                out.logits.shape == (2, task.num_classes),
                f"scale {scale!r}: logits of two images are {tuple(out.logits.shape)}; the task has "
                f"{task.num_classes} classes, {task.in_channels} channel(s).",
            )


def building_is_seeded(subject: Subject) -> None:
    """The start weights are a function of torch's seed."""
    space = subject.make()
    for arch in (None, space.sample(Random(0))):
        states = []
        for _ in "ab":
            torch.manual_seed(3)
            states.append(space.build(subject.partners.task, arch, "search").state_dict())
        for name, tensor in states[0].items():
            require(
                torch.equal(tensor, states[1][name]),
                f"{name!r} starts differently each time under one torch seed; a run could not be repeated.",
            )


def networks_can_be_exported(subject: Subject) -> None:
    """torch.export records a final network for any batch size, in operators of torch alone."""
    space, task = subject.make(), subject.partners.task
    torch.manual_seed(0)
    network = space.build(task, space.sample(Random(0)))
    x = _images(subject).float()
    with torch.no_grad():
        network(x)  # running statistics that differ from the initial ones
        network.eval()
        try:
            shapes = {"x": {0: torch.export.Dim("batch")}, "weights": None}
            program = torch.export.export(network, (x[:2], None), dynamic_shapes=shapes)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConformanceError(
                f"torch.export cannot record a final network: {reason} Its forward pass must not depend on "
                "the numbers in its images, nor on how many there are."
            ) from error
        called = {n.target for n in program.graph.nodes if n.op == "call_function"}
        own = sorted({str(t) for t in called if getattr(t, "namespace", "aten") not in ("aten", "prims")})
        require(
            not own,
            f"an exported network calls {', '.join(own)}, which no other program knows. Run plain modules "
            "where `self.runs_plainly` is true.",
        )
        found, expected = program.module()(x, None)[0], network(x).logits
    off = ((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6)).item()
    require(off < 1e-5, f"an exported network gives other logits (off by {off:.2g} of the largest value).")


def tied_modules_exist(subject: Subject) -> None:
    """Modules in ``tied`` exist in networks and supernets of every scale."""
    space = subject.make()
    for scale, supernet, _, network in _pairs(subject, 1):
        for name in space.tied:
            for what, net in (("network", network), ("supernet", supernet)):
                names = {n for n, _ in net.named_modules()}
                require(name in names, f"'tied' names {name!r}, which the {what} at scale {scale!r} lacks.")
            alike = _shapes(network.get_submodule(name)) == _shapes(supernet.get_submodule(name))
            require(alike, f"'tied' names {name!r}, of which a network has a slice at scale {scale!r}.")


def parameter_free_options_exist(subject: Subject) -> None:
    """Every name in ``parameter_free`` is an option of some choice."""
    space = subject.make()
    options = {option for c in space.choices for option in c.options}
    unknown = sorted(set(space.parameter_free) - options)
    require(not unknown, f"'parameter_free' names {unknown}, which no choice has as an option.")


def elastic_options_grow(subject: Subject) -> None:
    """Options of an elastic choice are listed from the smallest network to the largest."""
    space, task = subject.make(), subject.partners.task
    elastic = [choice for choice in space.choices if choice.elastic]
    largest = space.sample(Random(0))
    for choice in elastic:
        largest = largest.with_answer(choice.name, choice.options[-1])
    for choice in elastic:
        archs = [space.canonical(largest.with_answer(choice.name, option)) for option in choice.options]
        sizes = [count_parameters(space.build(task, arch)) for arch in archs]
        require(
            all(a < b for a, b in pairwise(sizes)),
            f"networks of the options {choice.options} of the elastic choice {choice.name!r} have {sizes} "
            "parameters. List the options from the smallest slice to the largest.",
        )


def path_costs_what_its_network_costs(subject: Subject) -> None:
    """MACs of one path through the supernet are those of the network, where every choice picks one."""
    space, task = subject.make(), subject.partners.task
    if any(c.k != 1 or c.optional for c in space.choices):
        return
    for scale, supernet, arch, network in _pairs(subject, 2):
        path = {c.name: c.options.index(arch[c.name][0]) for c in space.choices}
        on_path = measure(_OnPath(supernet, path).double(), task).macs
        alone = measure(_OnPath(network, {}).double(), task).macs
        require(
            on_path == alone,
            f"scale {scale!r}: the path of {space.notation(arch)} costs {on_path} MACs in the supernet and "
            f"{alone} as a network: the supernet runs something that the network has not.",
        )


def cost_is_what_is_measured(subject: Subject) -> None:
    """``cost`` returns the parameters and MACs that the final network has."""
    space, task, rng = subject.make(), subject.partners.task, Random(0)
    if NetworkSpace not in subject.plugin.provides:
        return  # there is no network to measure
    for arch in (space.sample(rng) for _ in range(ARCHITECTURES)):
        stated, true = space.cost(arch, task), measure_arch(space, task, arch)
        for name in ("params", "macs"):
            require(
                stated.get(name) == getattr(true, name),
                f"cost() says {stated.get(name)} {name} of {space.notation(arch)}, but its final network has "
                f"{getattr(true, name)}. Limits and objectives are read from cost().",
            )


CHECKS: tuple[Rule, ...] = (
    network_is_part_of_supernet,
    one_hot_law,
    one_path_law,
    missing_weights_are_ones,
    every_choice_has_an_effect,
    feature_info_is_true,
    networks_fit_the_task,
    building_is_seeded,
    networks_can_be_exported,
    tied_modules_exist,
    parameter_free_options_exist,
    elastic_options_grow,
    path_costs_what_its_network_costs,
)


class _OnPath(torch.nn.Module):
    def __init__(self, net: Network, path: dict[str, int]) -> None:
        super().__init__()
        self.net, self.path = net, path

    def forward(self, x: Tensor) -> Output:
        return self.net(x.double(), self.path or None)


def _images(subject: Subject) -> Tensor:
    task, generator = subject.partners.task, torch.Generator().manual_seed(0)
    size = (4, task.in_channels, task.image_size, task.image_size)
    return torch.randn(size, generator=generator, dtype=torch.float64)


def _shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _supernets(subject: Subject) -> Iterator[tuple[Scale, Network]]:
    """Yield a supernet per scale, with running statistics that differ from the initial ones."""
    space, x = subject.make(), _images(subject)
    for scale in SCALES:
        torch.manual_seed(0)
        supernet = space.build(subject.partners.task, scale=scale).double()
        with torch.no_grad():
            supernet(x)
        yield scale, supernet.eval()


def _pairs(
    subject: Subject, architectures: int = ARCHITECTURES, *, copy: bool = True
) -> Iterator[tuple[Scale, Network, Arch, Network]]:
    """Yield scale, supernet, architecture, and its network with the supernet's weights."""
    space, rng = subject.make(), Random(0)
    for scale, supernet in _supernets(subject):
        for _ in range(architectures):
            arch = space.sample(rng)
            torch.manual_seed(1)
            network = space.build(subject.partners.task, arch, scale).double()
            if copy:
                copy_shared(network, supernet)
            yield scale, supernet, arch, network.eval()


def _compare(theirs: Output, ours: Output, what: str) -> None:
    pairs = [("logits", theirs.logits, ours.logits)]
    for i, (a, b) in enumerate(zip(theirs.features, ours.features, strict=True)):
        # A network with a slice of the channels has fewer; the supernet's others are zero.
        pairs.append((f"feature {i}", a, F.pad(b, (0, 0, 0, 0, 0, a.shape[1] - b.shape[1]))))
    for name, a, b in pairs:
        off = ((a - b).abs().max() / b.abs().max().clamp_min(1e-6)).item()
        require(
            off < 1e-6,
            f"{what} gives other {name} than expected (off by {off:.2g} of the largest value). Each option's "
            "output is to be multiplied by its weight, and nothing else may depend on the weights.",
        )


COST_CHECKS: tuple[Rule, ...] = (cost_is_what_is_measured,)
