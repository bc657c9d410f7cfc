"""Gradient searchers by name: what is preset, what moves, what a network runs with, and where they search."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from nasforge.errors import RunError
from nasforge.nn import ChoiceBlock, Picked
from nasforge.plugins import Registry
from nasforge.testing import Partners, checks_for
from nasforge.testing.workbench import SearchDriver, Subject
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.gradient.config import GradientConfig
from nasforge_plugins.searchers.gradient.searcher import GradientSearcher
from support.twin_world import TinyData, make_context

REGISTRY = Registry.discover()
NAMES = ("darts", "gdas", "pc-darts", "drnas", "fair-darts", "sdarts", "beta-darts", "darts-pt")
SPACES = ("darts", "nasbench201", "chain")
TINY = {"darts": {"search_channels": 8}, "nasbench201": {"search_channels": 8}, "chain": {}}


def make(name: str = "darts", distiller=None, data=None, space=None, **options) -> GradientSearcher:
    torch.manual_seed(0)
    plugin = REGISTRY.get("searcher", name)
    searcher = plugin.load()(plugin.config(**{"epochs": 3, "warmup_epochs": 0, **options}))
    searcher.setup(make_context(distiller, data, space=space))
    return searcher


def batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, 8, 8, generator=generator), torch.tensor([0, 1, 2, 0])


def watched(searcher: GradientSearcher) -> list[tuple[dict, set[str], bool]]:
    """Note at every run of the search network its weights, what it may learn, and its mode."""
    runs: list[tuple[dict, set[str], bool]] = []

    def note(network, args) -> None:
        learning = {"network" for p in network.parameters() if p.requires_grad}
        if any(p.requires_grad for p in searcher.alpha.parameters()):
            learning.add("alpha")
        runs.append((dict(args[1]), learning, network.training))

    searcher.search_net.register_forward_pre_hook(note)
    return runs


def tiny_space(name: str, **options):
    plugin = REGISTRY.get("space", name)
    return plugin.load()(plugin.config(**{**plugin.tiny, **TINY[name], **options}))


# Deciding many choices takes many passes over the images.
EVERYWHERE = [
    pytest.param(
        name, space, marks=pytest.mark.campaign if name == "darts-pt" and space != "nasbench201" else []
    )
    for name in NAMES
    for space in SPACES
]


@pytest.mark.parametrize(("name", "space"), EVERYWHERE)
def test_searches_every_space_and_resumes_exactly(name, space):
    plugin = REGISTRY.get("searcher", name)
    options = {"epochs": 2, "warmup_epochs": 0, "partial_channels": 2 if name == "pc-darts" else 1}
    smaller = {}
    if name == "darts-pt":  # as many steps as the kit looks at, two of them decisions among few options
        options |= {"epochs": 1, "selection": {"epochs": 1}}
        smaller = {"operations": ("skip_connect", "sep_conv_3x3")} if space == "darts" else {}
    partners = Partners(space=lambda: tiny_space(space, **smaller))
    checks = {check.name: check for check in checks_for(plugin, options=options, partners=partners)}
    checks["resuming_equals_not_stopping"]()


COMBINED = [
    ({"order": 2}, False),
    ({"order": 2, "relaxation": {"kind": "dirichlet"}, "edge_weights": "learned"}, False),
    ({"order": 2, "relaxation": {"kind": "gumbel"}}, False),
    ({"perturbation": {"kind": "adversarial"}, "relaxation": {"kind": "sigmoid"}}, False),
    ({"perturbation": {"kind": "adversarial"}, "relaxation": {"kind": "dirichlet"}}, True),
    ({"relaxation": {"kind": "gumbel"}, "twin": {"interval": 2}}, True),
    (
        {
            "penalty": {"coefficient": 5.0},
            "edge_weights": "mean",
            "regularizers": {"entropy": 0.1, "beta_decay": 0.5},
        },
        True,
    ),
]


@pytest.mark.parametrize(("options", "distilled"), COMBINED, ids=str)
def test_parts_combine_and_resume_exactly(options, distilled):
    plugin = REGISTRY.get("searcher", "darts")
    # The kit lends a distiller to what says it needs one.
    plugin = replace(plugin, needs=plugin.needs | ({"distiller"} if distilled else set()))
    checks = {check.name: check for check in checks_for(plugin, options=options)}
    checks["resuming_equals_not_stopping"]()
    checks["metrics_are_numbers"]()


def test_first_order_computes_only_gradients_that_are_used():
    searcher = make()
    runs = watched(searcher)
    searcher.step_arch(*batch())
    assert [learning for _, learning, _ in runs] == [{"alpha"}]
    searcher.step_search(*batch(2))
    assert [learning for _, learning, _ in runs[1:]] == [{"network"}]
    everything = [*searcher.alpha.parameters(), *searcher.search_net.parameters()]
    assert all(p.requires_grad and p.grad is None for p in everything)


def test_second_order_computes_only_gradients_that_are_used():
    searcher = make(order=2)
    runs = watched(searcher)
    searcher.step_arch(*batch(), batch(2))
    assert [learning for _, learning, _ in runs] == [{"network"}, {"network", "alpha"}, {"alpha"}, {"alpha"}]


def test_attack_computes_only_gradients_of_option_weights_and_leaves_no_trace():
    searcher = make("sdarts", perturbation={"kind": "adversarial", "steps": 3})
    searcher.search_net(batch()[0], searcher.draw_weights())
    before = {n: b.clone() for n, b in searcher.search_net.named_buffers()}
    runs = watched(searcher)
    searcher.draw_training_weights(*batch(2))
    assert [(learning, training) for _, learning, training in runs] == [({"alpha"}, False)] * 5
    assert all(torch.equal(b, before[n]) for n, b in searcher.search_net.named_buffers())
    searcher.step_search(*batch(2))
    assert runs[-1][1:] == ({"network"}, True)


def test_each_step_moves_its_own_parameters():
    searcher = make()

    def moved(step) -> set[str]:
        parts = {"alpha": searcher.alpha, "network": searcher.search_net}
        before = {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}
        step()
        return {
            name
            for name, part in parts.items()
            if any(not torch.equal(p, q) for p, q in zip(part.parameters(), before[name], strict=True))
        }

    assert moved(lambda: searcher.step_arch(*batch())) == {"alpha"}
    assert moved(lambda: searcher.step_search(*batch(2))) == {"network"}


def test_second_order_moves_the_architecture_elsewhere():
    found = []
    for order in (1, 2):
        searcher = make(order=order, arch_weight_decay=0.0, lr=0.5)
        gradients = []
        searcher.arch_optimizer.step = lambda s=searcher, g=gradients: g.extend(
            p.grad.clone() for p in s.alpha.parameters()
        )
        searcher.step_arch(*batch(), batch(2))
        found.append(torch.cat(gradients))
    assert found[0].norm() > 0
    assert (found[0] - found[1]).norm() > 1e-3 * found[0].norm()


def test_the_architecture_waits_for_the_warm_up():
    data = TinyData({"weights": 2, "arch": 2})
    searcher = make(data=data, warmup_epochs=1)
    assert "arch_loss" not in searcher.step()
    assert "arch_loss" in searcher.step()
    assert data.seen == [("weights", 0), ("weights", 1), ("arch", 1)]


def test_learning_rate_falls_on_half_a_cosine():
    searcher = make(epochs=4, lr=0.4, min_lr=0.0)
    rates = []
    while not searcher.done:
        searcher.step()
        rates.append(searcher.search_optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.4, 0.3414, 0.2, 0.0586], abs=1e-4)


def test_gdas_runs_one_option_per_choice():
    searcher = make("gdas")
    runs = watched(searcher)
    searcher.step_search(*batch())
    searcher.step_arch(*batch(2))
    (weight_step, _, _), (arch_step, _, _) = runs
    assert all(type(w) is int for w in weight_step.values())
    assert all(isinstance(w, Picked) and w.weight.item() == 1.0 for w in arch_step.values())


def test_gdas_cools_down_over_the_search():
    searcher = make("gdas", epochs=3)
    temperatures = []
    while not searcher.done:
        searcher.step()
        temperatures.append(searcher.alpha.relaxation.temperature)
    assert temperatures == pytest.approx([10.0, 5.05, 0.1])


def test_sdarts_disturbs_the_weights_step_only_and_more_with_time():
    searcher = make("sdarts", perturbation={"epsilon": (0.05, 0.05)})
    runs = watched(searcher)
    searcher.step_arch(*batch())
    searcher.step_search(*batch(2))
    (plain, _, _), (disturbed, _, _) = runs
    expected = {name: w.detach() for name, w in plain.items()}
    assert all(torch.allclose(w, torch.full_like(w, 1 / len(w)), atol=1e-2) for w in expected.values())
    changes = torch.cat([(disturbed[name] - w).abs() for name, w in expected.items()])
    assert 0.01 < changes.max() < 0.2


def test_pc_darts_gives_options_a_part_of_the_channels_and_edges_a_weight():
    searcher = make("pc-darts", space=tiny_space("darts"), partial_channels=4)
    blocks = [m for m in searcher.search_net.modules() if isinstance(m, ChoiceBlock)]
    assert {block.share for block in blocks} == {4}
    assert "normal/node0/inputs" in searcher.alpha.logits
    final = searcher.space.build(searcher.data.task, searcher.best(), scale="final")
    assert {m.share for m in final.modules() if isinstance(m, ChoiceBlock)} == {1}


def test_partial_channels_need_the_space():
    with pytest.raises(
        RunError,
        match=r"searcher\.partial_channels: .* TinySpace have no partial channels\. Set",
    ):
        make("pc-darts")


def test_fair_darts_pushes_sigmoids_apart():
    searcher = make(
        "fair-darts",
        arch_lr=0.1,
        regularizers={"zero_one": 100.0},
        arch_weight_decay=0.0,
        arch_init_std=0.1,
    )
    before = torch.cat([w - 0.5 for w in searcher.alpha.mean().values()]).abs().mean()
    for seed in range(5):
        searcher.step_arch(*batch(seed))
    after = torch.cat([w - 0.5 for w in searcher.alpha.mean().values()]).abs().mean()
    assert after > 2 * before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relaxation": {"kind": "gumbel"}, "perturbation": {"kind": "random"}}, "choose another relaxation"),
        ({"regularizers": {"zero_one": 1.0}}, "needs relaxation"),
        ({"epochs": 3, "warmup_epochs": 3}, "leaves nothing of epochs = 3"),
        ({"relaxation": {"kind": "softmx"}}, "relaxation"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        GradientConfig(**options)


def test_a_distiller_brings_a_twin_that_learns():
    searcher = make(distiller=StagesDistiller(StagesConfig()), data=TinyData({"weights": 6, "arch": 6}))
    metrics = [searcher.step() for _ in range(3)]
    assert {"eval_loss", "eval_accuracy", "distill_loss", "eval_warmup_loss"} <= metrics[0].keys()
    assert metrics[-1]["eval_loss"] < metrics[0]["eval_loss"]
    assert searcher.twin.network.stem is searcher.search_net.stem
    with pytest.raises(RunError, match="order = 2 looks ahead for the search network alone"):
        make(distiller=StagesDistiller(StagesConfig()), order=2)


def test_a_search_learns_and_decides(tmp_path):
    driver = SearchDriver(
        Subject(REGISTRY.get("searcher", "darts"), None, {"epochs": 8, "arch_lr": 0.1}), tmp_path
    )
    while not driver.searcher.done:
        driver.step()
    first, last = driver.metrics[0], driver.metrics[-1]
    assert last["search_loss"] < first["search_loss"]
    assert last["arch_loss"] < first["arch_loss"]
    assert last["arch_confidence"] > first["arch_confidence"]
