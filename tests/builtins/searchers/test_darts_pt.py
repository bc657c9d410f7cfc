"""Perturbation-based selection on scores that are known."""

from __future__ import annotations

import pytest
import torch

from nasforge.config import PluginConfig
from nasforge.plugins import Registry
from nasforge_plugins.searchers.darts_pt.config import DartsPtConfig
from nasforge_plugins.searchers.darts_pt.searcher import DartsPt
from support.twin_world import OPERATIONS, TinySpace, make_context

REGISTRY = Registry.discover()


def make(**options) -> DartsPt:
    torch.manual_seed(0)
    searcher = DartsPt(DartsPtConfig(**{"epochs": 1, "tune_epochs": 1, **options}))
    searcher.setup(make_context(space=TinySpace(PluginConfig())))
    return searcher


def value_of(network_weights, values: dict[str, list[float]]) -> tuple[float, float]:
    """Return a made-up accuracy: how much of what is valuable the supernet still has."""
    ones = torch.ones(len(OPERATIONS))
    total = sum(
        float((network_weights.get(name, ones[: len(worth)]) * torch.tensor(worth)).sum())
        for name, worth in values.items()
    )
    return total, 0.0


WORTH = {
    "op/in0": [0.1, 0.9, 0.2, 0.3],
    "op/in1": [0.8, 0.1, 0.2, 0.3],
    "op/in2": [0.1, 0.2, 0.7, 0.3],
}


@pytest.mark.parametrize("edges", ["sum", "mean", "learned"])
def test_keeps_the_options_whose_removal_costs_most(edges, monkeypatch):
    searcher = make(edge_weights=edges, tune_epochs=0)
    worth = {**WORTH, "inputs": [3.0, 1.0, 2.0]}
    monkeypatch.setattr(searcher, "_measure", lambda weights: value_of(weights, worth))
    while not searcher.done:
        metrics = searcher.step()
    arch = searcher.best()
    assert {name: arch[name] for name in WORTH} == {
        "op/in0": ("skip",),
        "op/in1": ("conv",),
        "op/in2": ("pool",),
    }
    assert set(arch["inputs"]) == {"in0", "in2"}
    assert metrics["removal_cost"] == pytest.approx(
        {"sum": 1.0, "mean": 1 / 3, "learned": 1 / 3}[edges], rel=0.01
    )


def test_edges_are_decided_after_all_operations_in_random_order():
    orders = set()
    for seed in range(5):
        searcher = DartsPt(DartsPtConfig())
        context = make_context(space=TinySpace(PluginConfig()))
        searcher.setup(type(context)(**{**vars(context), "seed": seed}))
        names = [choice.name for choice in searcher.order]
        assert names[-1] == "inputs"
        orders.add(tuple(names[:-1]))
    assert len(orders) > 1


def test_a_decided_choice_is_no_longer_mixed():
    searcher = make()
    searcher.step()
    searcher.step()
    (name,) = searcher.decided
    weights = searcher.draw_weights()[name]
    assert sorted(weights.tolist()) == [0.0] * (len(OPERATIONS) - 1) + [1.0]
    assert searcher.best()[name] == (OPERATIONS[int(weights.argmax())],)


def test_steps_are_epochs_and_decisions():
    searcher = make(epochs=2)
    assert searcher.total_steps == 2 + 3 + 1
    steps = 0
    while not searcher.done:
        metrics = searcher.step()
        steps += 1
        assert ("removal_cost" in metrics) is (steps > 2)
    assert steps == searcher.total_steps
    assert searcher.epoch == 2 + 4, "one epoch after each decision"


def test_selection_trains_on_with_a_fresh_optimiser_at_a_lower_rate():
    searcher = make()
    searcher.step()
    old = searcher.search_optimizer
    searcher.step()
    assert searcher.search_optimizer is not old
    assert searcher.search_optimizer.param_groups[0]["lr"] == pytest.approx(2.5e-3)
    new = searcher.search_optimizer
    searcher.step()
    assert searcher.search_optimizer is new
    assert new.param_groups[0]["lr"] < 2.5e-3


def test_an_option_the_space_never_takes_gives_way_to_the_next(monkeypatch):
    plugin = REGISTRY.get("space", "darts")
    space = plugin.load()(plugin.config(**plugin.tiny))
    searcher = DartsPt(DartsPtConfig(epochs=1, tune_epochs=0))
    searcher.setup(make_context(space=space))
    operation = next(c for c in space.choices if c.kind == "op")
    worth = [0.0] * len(operation.options)
    worth[operation.options.index("none")] = 9.0
    worth[operation.options.index("dil_conv_5x5")] = 5.0
    monkeypatch.setattr(searcher, "_measure", lambda weights: value_of(weights, {operation.name: worth}))
    searcher._decide_operation(operation)
    assert searcher.decided[operation.name][operation.options.index("none")] == 1.0
    edges = next(c for c in space.choices if c.name == "normal/node0/inputs")
    assert len(edges.options) == edges.k
    assert searcher.derive()[operation.name] == ("dil_conv_5x5",)


def test_scoring_trains_nothing_and_writes_no_statistics():
    searcher = make()
    before = {name: tensor.clone() for name, tensor in searcher.search_net.state_dict().items()}
    accuracy, loss = searcher._score({"op/in0": [1.0, 0.0, 1.0, 1.0]})
    assert 0.0 <= accuracy <= 100.0
    assert loss < 0.0
    assert all(torch.equal(t, before[name]) for name, t in searcher.search_net.state_dict().items())
