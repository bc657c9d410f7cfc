"""The expected cost: exact where it says so, with the right gradient, and of use in every gradient search."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import pytest
import torch

from nasforge.arch import Arch, Choice
from nasforge.config import PluginConfig
from nasforge.constraints import Constraints
from nasforge.cost import measure_arch
from nasforge.cost.additive import AdditiveCost, Term
from nasforge.cost.itemize import count_options
from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.space import NetworkSpace, Task
from nasforge_plugins.searchers.gradient.cost import CostPenalty, ExpectedCost
from support.twin_world import TASK, TinySpace, make_context

REGISTRY = Registry.discover()
OUTER, INNER, ALONE = (
    Choice("outer", ("x", "y")),
    Choice("inner", ("p", "q", "r")),
    Choice("alone", ("a", "b")),
)
COST = AdditiveCost(
    (OUTER, INNER, ALONE),
    {"macs": 7.0},
    [
        Term((("outer", "x"),), {"macs": 2.0}),
        Term((("outer", "x"), ("inner", "p")), {"macs": 30.0}),
        Term((("outer", "x"), ("inner", "q")), {"macs": 5.0}),
        Term((("alone", "b"),), {"macs": 11.0}),
    ],
)
WEIGHTS = {"outer": [0.25, 0.75], "inner": [0.5, 0.2, 0.3], "alone": [0.9, 0.1]}


def tensors(weights):
    return {name: torch.tensor(values) for name, values in weights.items()}


def chosen(choices, arch):
    """Weights that stand for one architecture: k options share a choice that takes k."""
    return {c.name: torch.tensor([float(o in arch[c.name]) / c.k for o in c.options]) for c in choices}


def test_it_is_the_mean_over_architectures_drawn_from_the_weights():
    mean = 0.0
    for options in itertools.product(*(c.options for c in COST.choices)):
        chance = 1.0
        for choice, option in zip(COST.choices, options, strict=True):
            chance *= WEIGHTS[choice.name][choice.options.index(option)]
        arch = Arch({c.name: o for c, o in zip(COST.choices, options, strict=True)})
        mean += chance * COST.of(arch)["macs"]
    assert ExpectedCost(COST, "macs")(tensors(WEIGHTS)).item() == pytest.approx(mean)


def test_choices_that_are_not_learned_count_as_even():
    even = {**WEIGHTS, "inner": [1 / 3] * 3}
    expected = ExpectedCost(COST, "macs")
    partly = {name: values for name, values in WEIGHTS.items() if name != "inner"}
    assert expected(tensors(partly)).item() == pytest.approx(expected(tensors(even)).item())


@pytest.mark.parametrize("name", ["params", "macs"])
@pytest.mark.parametrize("plugin", REGISTRY.of("space"), ids=lambda plugin: plugin.name)
def test_weights_of_0_and_1_cost_what_the_network_costs(plugin, name):
    if NetworkSpace not in plugin.provides:
        pytest.skip("a space without networks")
    space, task, rng = plugin.load()(plugin.config(**plugin.tiny)), Task(3, 16, 10), Random(0)
    cost = count_options(space, task)
    expected = ExpectedCost(cost, name)
    for _ in range(5):
        arch = space.sample(rng)
        found = expected(chosen(space.choices, arch)).item()
        assert found == pytest.approx(cost.of(arch)[name], rel=1e-6)
        assert found == pytest.approx(getattr(measure_arch(space, task, arch), name), rel=1e-6)


@pytest.mark.parametrize("target", [None, 10.0])
def test_its_gradient_is_that_of_finite_differences(target):
    penalty = CostPenalty(ExpectedCost(COST, "macs"), 3.0, target)
    logits = {name: torch.tensor(values).log().requires_grad_() for name, values in WEIGHTS.items()}

    def value(changed):
        return penalty({name: values.softmax(0) for name, values in changed.items()})

    value(logits).backward()
    for name, values in logits.items():
        for i in range(len(values)):
            sides = []
            for sign in (1, -1):
                moved = {n: v.detach().clone() for n, v in logits.items()}
                moved[name][i] += sign * 0.01
                sides.append(value(moved).item())
            slope = (sides[0] - sides[1]) / 0.02
            assert values.grad[i].item() == pytest.approx(slope, abs=2e-4)


def test_nothing_is_to_pay_below_the_target():
    expected = ExpectedCost(COST, "macs")
    cost = expected(tensors(WEIGHTS)).item()
    assert CostPenalty(expected, 2.0, cost + 1)(tensors(WEIGHTS)).item() == 0.0
    assert CostPenalty(expected, 2.0, cost / 2)(tensors(WEIGHTS)).item() == pytest.approx(2.0)
    assert CostPenalty(expected, 2.0)({}).item() == pytest.approx(2.0)


SEARCHERS = {
    "darts": {},
    "second order": {"order": 2},
    "gdas": {},
    "pc-darts": {"partial_channels": 1},
    "drnas": {},
    "fair-darts": {"regularizers": {"zero_one": 0.0}},
    "sdarts": {},
    "beta-darts": {},
    "darts-pt": {},
    "cdarts": {"joint_epochs": 1, "warmup_epochs": 0, "penalty": {"coefficient": 0.0}},
}


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_gradient_search_gets_cheaper_by_it(name):
    """With a strong penalty the architecture learns little else; without, this seed may go anywhere."""
    found = {}
    for weight in (0.0, 100.0):
        torch.manual_seed(0)
        plugin = REGISTRY.get("searcher", "darts" if name == "second order" else name)
        length = {"epochs": 3, "warmup_epochs": 0, "arch_lr": 0.05}
        if name == "cdarts":
            length = {**plugin.tiny, "arch_lr": 0.05}
        options = {**length, **SEARCHERS[name], "cost": {"weight": weight, "metric": "params"}}
        searcher = plugin.load()(plugin.config(**options))
        distiller = None
        if name == "cdarts":
            other = REGISTRY.get("distiller", "logits")
            distiller = other.load()(other.config())
        context = make_context(distiller)
        space = TinySpace(PluginConfig())
        limits = Constraints(itemize=lambda cost, space=space: count_options(space, TASK))
        searcher.setup(replace(context, constraints=limits))
        expected = ExpectedCost(count_options(space, TASK), "params")
        before = expected(searcher.alpha.shares()).item()
        metrics = [searcher.step() for _ in range(2)]
        after = expected(searcher.alpha.shares()).item()
        found[weight] = after
        if weight:
            assert metrics[-1]["expected_params"] == pytest.approx(after)
            assert after < before * 0.98
        else:
            assert "expected_params" not in metrics[-1]
    assert found[100.0] < found[0.0]


def test_a_cost_that_cannot_be_itemised_is_refused():
    plugin = REGISTRY.get("searcher", "darts")
    searcher = plugin.load()(plugin.config(cost={"weight": 1.0, "metric": "latency_ms"}))
    with pytest.raises(RecipeError, match=r"latency_ms.*Set constraints.latency to a latency table"):
        searcher.setup(make_context())
