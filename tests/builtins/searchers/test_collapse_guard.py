"""The collapse guard in a search: what it measures, that it leaves no trace, and what comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nasforge.arch import Arch, Choice
from nasforge.config import PluginConfig
from nasforge.plugins import Registry
from nasforge.testing import checks_for
from nasforge.training.loops import random_state
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.gradient.collapse import parameter_free_share
from nasforge_plugins.searchers.gradient.options import GuardOptions
from support.twin_world import TinySpace, make_context

REGISTRY = Registry.discover()
NAMES = ("darts", "gdas", "pc-darts", "drnas", "fair-darts", "sdarts", "beta-darts", "darts-pt", "cdarts")
MEASURED = {"parameter_free_share", "discretization_gap", "hessian_eigenvalue"}


def make(name: str, space=None, **options):
    torch.manual_seed(0)
    plugin = REGISTRY.get("searcher", name)
    few = {"iterations": 3, "warmup_epochs": 1} if name == "cdarts" else {"epochs": 3, "warmup_epochs": 1}
    few |= {"partial_channels": 1} if name == "pc-darts" else {}
    searcher = plugin.load()(plugin.config(**{**few, **options}))
    distiller = StagesDistiller(StagesConfig()) if name == "cdarts" else None
    searcher.setup(make_context(distiller, space=space))
    return searcher


def tiny_space(name: str, **options):
    plugin = REGISTRY.get("space", name)
    return plugin.load()(plugin.config(**{**plugin.tiny, **options}))


def parts(state) -> list:
    """Return the leaves of a state, tensors by their bytes, without the guard's own."""
    if isinstance(state, dict):
        return [(key, parts(value)) for key, value in sorted(state.items(), key=str) if key != "guard"]
    if isinstance(state, list | tuple):
        return [parts(value) for value in state]
    return [state.dtype, state.tolist()] if isinstance(state, torch.Tensor) else [state]


# What is measured


def test_operations_that_mean_nothing_do_not_count():
    space = tiny_space("darts")
    picks = {c.name: c.options[0] if c.kind == "op" else c.options[: c.k] for c in space.choices}
    arch = space.canonical(Arch({**picks, **dict.fromkeys(operations(space), "sep_conv_3x3")}))
    taken = [n for n in operations(space) if arch[n] == ("sep_conv_3x3",)]
    assert len(taken) == 16
    assert parameter_free_share(space, arch) == 0.0
    assert parameter_free_share(space, Arch({**arch, taken[0]: "skip_connect"})) == 1 / 16
    assert parameter_free_share(space, Arch({**arch, **dict.fromkeys(taken, "max_pool_3x3")})) == 1.0


def operations(space) -> list[str]:
    return [c.name for c in space.choices if c.kind == "op"]


def test_choices_without_an_alternative_do_not_count():
    class Fixed(TinySpace):
        choices = (Choice("a", ("skip",)), Choice("b", ("conv", "skip", "pool")))

    space = Fixed(PluginConfig())
    assert parameter_free_share(space, Arch({"a": "skip", "b": "conv"})) == 0.0
    assert parameter_free_share(space, Arch({"a": "skip", "b": "pool"})) == 1.0


def test_a_space_says_what_is_free_of_parameters():
    class Named(TinySpace):
        parameter_free = frozenset({"none"})

    arch = Arch({"inputs": ["in0", "in1"], "op/in0": "none", "op/in1": "skip", "op/in2": "conv"})
    assert parameter_free_share(Named(PluginConfig()), arch) == pytest.approx(1 / 3)


def test_discretising_a_decided_mixture_costs_nothing():
    searcher = make("darts", space=tiny_space("nasbench201"), guard={"policy": "warn"})
    landscape = searcher.guard._landscape
    with torch.no_grad():
        for logits in searcher.alpha.parameters():
            logits.copy_(torch.tensor([0.0, 1.0, 0.0, 2000.0, 0.0]))
    assert landscape.gap(searcher.derive()) == pytest.approx(0.0, abs=1e-6)
    assert (
        abs(landscape.gap(searcher.space.parse("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")))
        > 1e-3
    )
    assert landscape.eigenvalue(20) == pytest.approx(0.0, abs=1e-6)


# No trace


@pytest.mark.parametrize("name", NAMES)
def test_watching_changes_no_bit(name):
    options = {"preset": "official"} if name == "cdarts" else {}
    states, seen = [], set()
    for policy in ("off", "warn"):
        searcher = make(name, guard={"policy": policy, "max_free": 1.0}, **options)
        while not searcher.done:
            metrics = searcher.step()
            seen |= set(metrics) if policy == "warn" else set()
            assert policy == "warn" or not MEASURED & set(metrics)
        states.append(parts([searcher.state_dict(), random_state(torch.device("cpu"))]))
    assert seen >= MEASURED
    assert states[0] == states[1]


def test_modes_gradients_and_buffers_are_left_as_they_were():
    searcher = make("darts", guard={"policy": "warn"})
    searcher.step()
    network = searcher.search_net
    network.eval()
    network.stem.train()
    for parameter in [*network.parameters(), *searcher.alpha.parameters()]:
        parameter.grad = torch.ones_like(parameter)

    def look():
        return parts([
            network.state_dict(),
            searcher.alpha.state_dict(),
            [m.training for m in network.modules()],
            [[p.grad, p.requires_grad] for p in [*network.parameters(), *searcher.alpha.parameters()]],
            torch.get_rng_state(),
        ])  # fmt: skip

    before = look()
    first = searcher.guard._landscape.eigenvalue(20), searcher.guard._landscape.gap(searcher.arch)
    assert look() == before
    assert first == (searcher.guard._landscape.eigenvalue(20), searcher.guard._landscape.gap(searcher.arch))


def test_blocks_that_are_computed_again_have_the_same_curvature():
    measured = []
    for again in (False, True):
        searcher = make("darts", space=tiny_space("nasbench201"), guard={"policy": "warn"})
        if again:
            runtime = replace(searcher.runtime, gradient_checkpointing=True)
            runtime.prepare(searcher.search_net)
        measured.append(
            [searcher.guard._landscape.eigenvalue(20), searcher.guard._landscape.gap(searcher.arch)]
        )
    assert measured[0] == pytest.approx(measured[1], rel=1e-4)
    assert measured[0][0] != 0.0


def test_the_curvature_is_measured_as_often_as_asked():
    searcher = make(
        "darts", epochs=6, warmup_epochs=1, guard={"policy": "warn", "interval": 2, "max_free": 1.0}
    )
    rows = []
    while not searcher.done:
        rows.append(searcher.step())
    assert ["parameter_free_share" in row for row in rows] == [False, *[True] * 5]
    assert ["hessian_eigenvalue" in row for row in rows] == [False, True, False, True, False, True]


# In a search

SUDDEN = {"start": 1, "window": 1, "max_growth": 1.0001, "max_free": 0.0}


@pytest.mark.filterwarnings("ignore:collapse after step")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["stop", "rollback"])
def test_every_searcher_ends_early_and_resumes_exactly(name, policy):
    plugin = REGISTRY.get("searcher", name)
    options = {**plugin.tiny, "guard": {"policy": policy, **SUDDEN}}
    options |= {"iterations": 6} if name == "cdarts" else {"epochs": 2 if name == "darts-pt" else 6}
    options |= {"warmup_epochs": 0, **({"selection": {"epochs": 0}} if name == "darts-pt" else {})}
    checks = {check.name: check for check in checks_for(plugin, options=options)}
    checks["resuming_equals_not_stopping"]()
    checks["best_is_valid_after_every_step"]()
    checks["metrics_are_numbers"]()


@pytest.mark.filterwarnings("ignore:collapse after step")
@pytest.mark.parametrize("name", ["darts", "cdarts"])
def test_a_search_returns_the_architecture_it_goes_back_to(name):
    length = {"iterations": 8} if name == "cdarts" else {"epochs": 8}
    searcher = make(name, guard={"policy": "rollback"}, arch_lr=0.3, warmup_epochs=0, **length)
    found = {}
    values = iter([1.0, 1.0, 1.0, 9.0])
    searcher.guard._options = GuardOptions(policy="rollback", start=0, window=2, max_free=1.0)
    searcher.guard._landscape.eigenvalue = lambda steps: next(values)
    derive = searcher.space.discretize
    while not searcher.done:
        searcher.step()
        state = searcher.guard.state_dict()
        found[len(state["rows"])] = state["past"][-1]
    assert searcher.guard.verdict.returned == 2
    flat = torch.cat([p.detach().reshape(-1) for p in searcher.alpha.parameters()])
    assert torch.equal(flat, found[2])
    assert not torch.equal(found[4], found[2])
    assert searcher.best() == derive(searcher.alpha.as_lists())


@pytest.mark.filterwarnings("ignore:collapse after step")
def test_perturbation_based_selection_goes_on_behind_a_stopped_search():
    guard = {"policy": "stop", **SUDDEN}
    searcher = make("darts-pt", epochs=6, warmup_epochs=0, selection={"epochs": 0}, guard=guard)
    while searcher.searching:
        searcher.step()
    assert searcher.epoch < 6
    assert not searcher.done
    while not searcher.done:
        assert "removal_cost" in searcher.step()
    assert len(searcher.decided) == len(searcher.order)


@pytest.mark.parametrize("name", NAMES)
def test_a_guard_is_off_unless_asked_for(name):
    plugin = REGISTRY.get("searcher", name)
    assert plugin.config().guard.policy == "off"
    assert make(name).summary() == {}
