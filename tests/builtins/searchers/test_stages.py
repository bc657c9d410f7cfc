"""Progressive stages: schedule, pruning, wider networks, exact resume, and errors that say what to change."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from pydantic import ValidationError

from nasforge.errors import RecipeError, RunError
from nasforge.nn import ArchParameters, ChoiceBlock, Dirichlet, copy_shared
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.testing import Partners, checks_for
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.gradient.penalties import divergence_from_uniform
from nasforge_plugins.searchers.gradient.searcher import GradientSearcher
from support.twin_world import make_context

REGISTRY = Registry.discover()
STAGES = {"epochs": (3, 2, 2), "partial_channels": (6, 4, 2), "keep": (4, 2)}
OPTIONS = {"epochs": 7, "warmup_epochs": 1, "stages": STAGES}


def space_of(name: str, **options):
    plugin = REGISTRY.get("space", name)
    return plugin.load()(plugin.config(**{**plugin.tiny, "search_channels": 12, **options}))


def make(space: str = "nasbench201", name: str = "drnas", distiller=None, **options) -> GradientSearcher:
    plugin = REGISTRY.get("searcher", name)
    searcher = plugin.load()(plugin.config(**{**OPTIONS, **options}))
    torch.manual_seed(0)
    searcher.setup(make_context(distiller, space=space_of(space)))
    return searcher


def alphas(searcher) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in searcher.alpha.parameters()]).clone()


def test_the_schedule_is_that_of_the_published_loop():
    """DARTS-space/train_search.py: one cosine over all epochs, a warm-up at the start of every stage."""
    searcher = make()
    rates, moved = [], []
    for epoch in range(7):
        before = alphas(searcher)
        if epoch in (3, 5):  # pruning clears parameters, which is not learning
            searcher._begin_stage()
            before = alphas(searcher)
        searcher.step()
        rates.append(searcher.search_optimizer.param_groups[0]["lr"])
        moved.append(not torch.equal(alphas(searcher), before))
    assert rates == pytest.approx([0.1 * (1 + math.cos(math.pi * epoch / 7)) / 2 for epoch in range(7)])
    inside = [0, 1, 2, 0, 1, 0, 1]  # published: `e`, counted anew in every stage
    assert moved == [epoch >= 1 for epoch in inside]


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_networks_become_wider_and_lose_options(space):
    searcher = make(space)
    operations = {c.name: c for c in searcher.space.choices if c.kind == "op"}
    sizes = {c.name: len(c.options) for c in operations.values()}
    for epoch in range(7):
        searcher.step()
        stage = 0 if epoch < 3 else 1 if epoch < 5 else 2
        assert searcher.space.config.partial_channels == (6, 4, 2)[stage]
        weights = searcher.draw_weights()
        for name, size in sizes.items():
            left = min(size, (size, 4, 2)[stage])
            assert int((weights[name] > 0).sum()) == left
            blocks = [
                m
                for m in searcher.search_net.modules()
                if isinstance(m, ChoiceBlock) and m.choice.name == name
            ]
            assert blocks
            for block in blocks:
                heavy = {o for o, w in zip(operations[name].options, weights[name], strict=True) if w > 0}
                assert set(block.options) == heavy
                assert block.share == (6, 4, 2)[stage]
    kept = searcher.alpha.kept
    best = searcher.best()
    for name in searcher.alpha.operation_logits():
        if best[name] != ("none",):
            assert bool(kept[name][operations[name].options.index(best[name][0])]), (
                "derived from kept options"
            )


def test_a_new_stage_starts_with_the_weights_and_the_momentum_so_far():
    searcher = make(stages={"epochs": (3, 4), "keep": (4,)})
    for _ in range(3):
        searcher.step()
    old, momentum = searcher.search_net, searcher.search_optimizer
    torch.manual_seed(7)
    before = torch.get_rng_state()
    searcher._begin_stage()
    assert torch.equal(torch.get_rng_state(), before), "building draws from generators of its own"
    # Where nothing becomes wider, the smaller network computes what the larger one did.
    images, weights = torch.randn(4, 3, 8, 8), searcher.compute_mean_weights()
    for network in (old, searcher.search_net):
        network.eval()
    with torch.no_grad():
        logits = [network(images, weights).logits for network in (old, searcher.search_net)]
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-5, atol=1e-6)
    names = {parameter: name for name, parameter in old.named_parameters()}
    buffers = {names[p]: state["momentum_buffer"] for p, state in momentum.state.items()}
    for name, parameter in searcher.search_net.named_parameters():
        assert torch.equal(searcher.search_optimizer.state[parameter]["momentum_buffer"], buffers[name])


def test_the_optimiser_of_the_architecture_goes_on():
    searcher = make()
    optimizer = searcher.arch_optimizer
    while not searcher.done:
        searcher.step()
    assert searcher.arch_optimizer is optimizer
    steps = {float(state["step"]) for state in optimizer.state.values()}
    assert steps == {2.0 * (2 + 1 + 1)}, "two batches in each epoch behind the warm-ups"


FULL = {"regularizers": {"kl": 1e-2}, "guard": {"policy": "warn", "start": 0, "steps": 3}}


def test_a_search_that_is_stopped_anywhere_ends_in_the_same_bits():
    """A kill after every epoch: inside stages, at their ends, and behind the first epoch of the next."""
    whole = make(**FULL)
    torch.manual_seed(1)
    saved = []
    while not whole.done:
        saved.append(deepcopy((whole.state_dict(), torch.get_rng_state())))
        whole.step()
    expected = whole.search_net.state_dict()
    for state, random in saved[1:]:
        resumed = make(**FULL)
        resumed.load_state_dict(state)
        torch.set_rng_state(random)
        while not resumed.done:
            resumed.step()
        assert torch.equal(alphas(whole), alphas(resumed))
        assert resumed.search_net.state_dict().keys() == expected.keys()
        assert all(torch.equal(v, expected[n]) for n, v in resumed.search_net.state_dict().items())
        assert whole.best() == resumed.best()
        assert whole.guard.state_dict()["rows"] == resumed.guard.state_dict()["rows"]


@pytest.mark.parametrize("space", [pytest.param("darts", marks=pytest.mark.slow), "nasbench201"])
def test_conformance(space):
    plugin = REGISTRY.get("searcher", "drnas")
    options = {
        "epochs": 4,
        "warmup_epochs": 1,
        "stages": {"epochs": (2, 2), "partial_channels": (6, 4), "keep": (4,)},
    }
    for one in checks_for(plugin, options=options, partners=Partners(space=lambda: space_of(space))):
        one()


@pytest.mark.parametrize("name", ["fair-darts", "sdarts"])
def test_other_searchers_take_stages_too(name):
    plugin = REGISTRY.get("searcher", name)
    options = {"epochs": 4, "warmup_epochs": 0, "stages": {"epochs": (2, 2), "keep": (3,)}}
    checks = {
        c.name: c
        for c in checks_for(plugin, options=options, partners=Partners(space=lambda: space_of("nasbench201")))
    }
    checks["resuming_equals_not_stopping"]()
    checks["metrics_are_numbers"]()


def test_order_two_and_stages_combine():
    searcher = make(order=2)
    while not searcher.done:
        assert all(math.isfinite(value) for value in searcher.step().values())


def test_the_divergence_is_that_of_dirichlet_distributions():
    """KL(Dir(c) || Dir(1)) = log Γ(Σc) - Σ log Γ(c) - log Γ(n) + Σ (c - 1)(ψ(c) - ψ(Σc)), summed."""
    generator = torch.Generator().manual_seed(0)
    logits = {name: torch.randn(7, generator=generator, dtype=torch.float64) for name in "abc"}
    total = 0.0
    for values in logits.values():
        c = torch.tensor([v + 1.0 if v > 0 else math.exp(v) for v in values.tolist()], dtype=torch.float64)
        whole = c.sum()
        total += math.lgamma(float(whole)) - sum(math.lgamma(x) for x in c.tolist()) - math.lgamma(7)
        total += float(((c - 1.0) * (torch.digamma(c) - torch.digamma(whole))).sum())
    assert divergence_from_uniform(logits).item() == pytest.approx(total, rel=1e-10)
    assert divergence_from_uniform({"a": torch.zeros(5)}).item() == pytest.approx(0.0, abs=1e-6)


# What cannot be


WRONG = [
    ({"stages": {"epochs": (3, 3)}}, "set epochs = 6"),
    ({"stages": {"epochs": (1, 6)}}, "lower warmup_epochs"),
    ({"stages": {"epochs": (3, 4), "partial_channels": (4,)}}, "write one per stage"),
    ({"stages": {"epochs": (3, 4), "partial_channels": (2, 4)}}, "must not rise"),
    ({"stages": {"epochs": (3, 4), "keep": (4, 2)}}, "one per stage after the first"),
    ({"stages": {"epochs": (3, 4), "keep": (1,)}}, "be 2 or more"),
    ({"stages": {"epochs": (3, 4), "keep": (3,)}, "relaxation": {"kind": "gumbel"}}, "stages.keep = []"),
    ({"stages": {}, "regularizers": {"kl": 1.0}, "relaxation": {"kind": "softmax"}}, "set kl = 0"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[words for _, words in WRONG])
def test_stages_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValidationError) as error:
        REGISTRY.get("searcher", "drnas").config(**{**OPTIONS, **options})
    assert words in str(error.value)


def test_a_selection_by_perturbation_takes_no_stages():
    with pytest.raises(ValidationError, match=r"set epochs = \[\]"):
        REGISTRY.get("searcher", "darts-pt").config(epochs=4, stages={"epochs": (2, 2)})


def test_an_evaluation_network_cannot_follow():
    distiller = StagesDistiller(StagesConfig())
    with pytest.raises(RunError, match=r"leave the \[distiller\] table out"):
        make(distiller=distiller)


@pytest.mark.parametrize("option", ["keep", "partial_channels"])
def test_a_recipe_says_which_space_an_option_needs(option):
    stages = {"epochs": [2, 2], option: [3] if option == "keep" else [4, 2]}
    searcher = {"use": "drnas", "epochs": 4, "warmup_epochs": 0, "stages": stages}
    recipe = {"data": {"use": "digits"}, "searcher": searcher}
    assert check({**recipe, "space": {"use": "nasbench201"}}, REGISTRY)
    if option == "partial_channels":
        assert check({**recipe, "space": {"use": "chain"}}, REGISTRY)
        return
    with pytest.raises(RecipeError) as error:
        check({**recipe, "space": {"use": "chain"}}, REGISTRY)
    text = str(error.value)
    assert "searcher.stages.keep: needs a space with ReducedNetworks, which 'chain' lacks." in text
    assert "Leave this option out, or use another space." in text
    assert "darts, nasbench201" in text


def test_channels_and_weights_are_copied_by_name():
    """The smaller network of a space has tensors of its supernet only: else nothing could be carried over."""
    space = space_of("darts")
    choice = next(c for c in space.choices if c.kind == "op")
    kept = {choice.name: choice.options[:2]}
    task = make_context().data.task
    small, whole = space.build_reduced(task, kept), space.build(task, scale="search")
    assert small.state_dict().keys() < whole.state_dict().keys()
    copy_shared(small, whole)


def published_genotype(
    rows: dict[tuple[str, int, str], list[float]],
) -> dict[tuple[str, int], dict[str, int]]:
    """Return the inputs and operations of every node by `genotype` of DARTS-space/model_search.py.

    Args:
        rows: Parameters by cell, node and source, without the one of ``none``, which that space lacks.
    """
    found: dict[tuple[str, int], dict[str, int]] = {}
    for cell, node in dict.fromkeys((cell, node) for cell, node, _ in rows):
        edges = {source: values for (c, n, source), values in rows.items() if (c, n) == (cell, node)}
        shares = {}
        for source, values in edges.items():
            weights = [math.exp(v) for v in values]
            shares[source] = (max(weights) / sum(weights), values.index(max(values)))
        best = sorted(shares, key=lambda source: -shares[source][0])[:2]
        found[cell, node] = {source: shares[source][1] for source in best}
    return found


def test_genotypes_are_derived_as_published():
    """100 random sets of parameters of deviation 0.2; the means of the distributions derive other cells."""
    space, differs = space_of("darts", operations="darts"), 0
    operations = [c for c in space.choices if c.kind == "op"]
    for seed in range(100):
        torch.manual_seed(seed)
        alpha = ArchParameters(operations, 0.2, Dirichlet())
        for choice in operations:  # seven operations: `none` weighs nothing, and no architecture takes it
            alpha.logits[choice.name].data[choice.options.index("none")] = -1e3
        derived = space.discretize(alpha.as_lists())
        rows = {}
        for choice in operations:
            cell, node, source = choice.name.split("/")
            rows[cell, int(node[-1]), source] = alpha.logits[choice.name].tolist()[:-1]
        for (cell, node), inputs in published_genotype(rows).items():
            assert set(derived[f"{cell}/node{node}/inputs"]) == set(inputs)
            for source, index in inputs.items():
                assert derived[f"{cell}/node{node}/{source}"] == (operations[0].options[index],)
        means = {name: weights.tolist() for name, weights in alpha.mean().items()}
        differs += space.discretize(means) != derived
    assert differs > 20
