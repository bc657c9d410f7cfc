"""CDARTS against what is known of the published code: who moves in which step, when, and how far."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from nasforge.arch import Arch
from nasforge.seeding import derive_seed
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from nasforge_plugins.searchers.cdarts.transfer import find_untransferred
from nasforge_plugins.searchers.cdarts.update import QuirkyUpdate
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.twin_world import TASK, TinyData, make_context

CONV_AFTER_SKIP = Arch(
    {"inputs": ("in1", "in0"), "op/in0": "conv", "op/in1": "skip", "op/in2": "none"},
)
SKIP_AFTER_CONV = Arch({**CONV_AFTER_SKIP, "inputs": ("in0", "in1")})


def make(preset: str = "clean", heads: dict | None = None, data: TinyData | None = None, **options) -> Cdarts:
    torch.manual_seed(derive_seed(0, "test"))
    searcher = Cdarts(CdartsConfig(preset=preset, **{"iterations": 4, "warmup_epochs": 1, **options}))
    searcher.setup(make_context(StagesDistiller(StagesConfig(**(heads or {}))), data))
    return searcher


def batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, 8, 8, generator=generator), torch.tensor([0, 1, 2, 0])


def parts(searcher: Cdarts) -> dict[str, list[nn.Parameter]]:
    def beside_stem(network: nn.Module) -> list[nn.Parameter]:
        return [p for n, p in network.named_parameters() if not n.startswith("stem.")]

    distiller = searcher.twin.distiller
    return {
        "stem": list(searcher.search_net.stem.parameters()),
        "search": beside_stem(searcher.search_net),
        "alpha": list(searcher.alpha.parameters()),
        "eval": beside_stem(searcher.twin.network),
        "heads": [p for n, p in distiller.named_parameters() if n != "ensemble"],
        "ensemble": [distiller.ensemble],
    }


def moved(searcher: Cdarts, step) -> set[str]:
    before = {name: [p.detach().clone() for p in ps] for name, ps in parts(searcher).items()}
    step()
    return {
        name
        for name, ps in parts(searcher).items()
        if any(not torch.equal(p, old) for p, old in zip(ps, before[name], strict=True))
    }


def prepared(preset: str, **heads) -> Cdarts:
    """Return a searcher in the middle of a cycle, when every gradient has existed before."""
    searcher = make(preset, heads)
    searcher.twin.rebuild(searcher.arch)
    searcher.step_arch(*batch())
    return searcher


@pytest.mark.parametrize("preset", ["official", "clean"])
@pytest.mark.parametrize("freeze", [False, True])
def test_which_parameters_move_in_which_step(preset, freeze):
    heads = set() if freeze else {"heads"}
    # Weight decay and momentum of torch 1.2 move what a step does not use.
    beside = {"ensemble"} | heads if preset == "official" else set()
    searcher = prepared(preset, freeze_heads=freeze)
    assert moved(searcher, lambda: searcher.step_arch(*batch(2))) == {
        "stem", "alpha", "eval", "ensemble", *heads,
    }  # fmt: skip
    assert moved(searcher, lambda: searcher.step_search(*batch(3))) == {"stem", "search", *beside}
    assert moved(searcher, lambda: searcher.step_eval(*batch(4))) == {"stem", "eval", *beside}


def test_official_step_b_moves_unused_heads_by_weight_decay_alone():
    searcher = prepared("official")
    before = searcher.twin.distiller.ensemble.detach().clone()
    searcher.step_search(*batch(3))
    expected = before * (1 - 0.08 * 3e-4)
    torch.testing.assert_close(searcher.twin.distiller.ensemble.detach(), expected, rtol=1e-6, atol=0)


def gradients_at_step(searcher: Cdarts, step) -> dict[str, list[torch.Tensor]]:
    """Return the gradients by part that exist when the first optimiser of an update steps."""
    caught: list[dict[str, list[torch.Tensor]]] = []

    def look(optimizer, args, kwargs) -> None:
        caught.append(
            {
                name: found
                for name, ps in parts(searcher).items()
                if (found := [p.grad.clone() for p in ps if p.grad is not None])
            }
        )

    handle = register_optimizer_step_pre_hook(look)
    try:
        step()
    finally:
        handle.remove()
    return caught[0]


def test_clean_computes_only_gradients_that_are_used():
    searcher = prepared("clean")
    found = gradients_at_step(searcher, lambda: searcher.step_arch(*batch(2)))
    assert set(found) == {"stem", "alpha", "eval", "heads", "ensemble"}
    found = gradients_at_step(searcher, lambda: searcher.step_search(*batch(3)))
    assert set(found) == {"stem", "search"}
    found = gradients_at_step(searcher, lambda: searcher.step_eval(*batch(4)))
    assert set(found) == {"stem", "eval"}
    assert all(p.requires_grad and p.grad is None for ps in parts(searcher).values() for p in ps)
    assert "gradients" not in searcher.state_dict()


def test_official_norm_counts_gradients_that_other_steps_left():
    searcher = prepared("official")
    searcher.step_search(*batch(3))
    left = [p.grad.clone() for p in parts(searcher)["search"] if p.grad is not None]
    searcher.step_eval(*batch(4))
    kept = [p.grad for p in parts(searcher)["search"] if p.grad is not None]
    assert len(left) == len(kept) > 0
    ratios = torch.cat([(k / g)[g.abs() > 1e-4] for k, g in zip(kept, left, strict=True)])
    assert ratios.numel() > 0
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-4, atol=0)


def test_a_cycle_updates_in_the_published_order():
    data = TinyData({"weights": 3, "arch": 2})
    searcher = make("official", data=data, twin={"warmup_epochs": 2})
    steps: list[str] = []

    def record(optimizer, args, kwargs) -> None:
        names = {
            id(searcher.search_optimizer): "search",
            id(searcher.arch_optimizer): "arch",
            id(searcher.twin.optimizer): "eval",
        }
        steps.append(names[id(optimizer)])

    handle = register_optimizer_step_post_hook(record)
    try:
        for _ in range(3):
            searcher.step()
    finally:
        handle.remove()
    cycle = ["eval"] * 4 + ["eval", "arch", "search"] * 2
    assert steps == ["search"] * 3 + cycle + cycle
    assert data.seen == [
        ("weights", 0),
        *[("arch", 0), ("arch", 1), ("weights", 1), ("arch", 2)],
        *[("arch", 3), ("arch", 4), ("weights", 2), ("arch", 5)],
    ]


def test_joint_step_uses_the_arch_split_for_architecture_and_evaluation_network(monkeypatch):
    data = TinyData({"weights": 1, "arch": 1})
    searcher = make(data=data, twin={"warmup_epochs": 0}, warmup_epochs=0)
    got = {}
    for name in ("step_arch", "step_search"):
        original = getattr(searcher, name)
        monkeypatch.setattr(
            searcher,
            name,
            lambda x, y, *more, name=name, original=original: got.update({name: x}) or original(x, y, *more),
        )
    searcher.step()
    for split, name in (("arch", "step_arch"), ("weights", "step_search")):
        ((expected, _),) = data.batches(split, epoch=0)
        assert torch.equal(got[name], expected)


def test_joint_loss_weighs_its_terms_as_published():
    plain, scaled = prepared("clean"), make("clean", twin={"loss_alpha": 4.0})
    scaled.twin.rebuild(scaled.arch)
    losses = []
    for searcher in (plain, scaled):
        caught = []

        class Spy(QuirkyUpdate):
            def descend(self, loss, *rest, caught=caught, **more) -> None:
                caught.append(loss.item())

        searcher.update = Spy(
            searcher.update.clip, searcher.config.quirks, searcher.collect_parts().parameters
        )
        values = {k: v.item() for k, v in searcher.step_arch(*batch(2)).items()}
        losses.append((caught[0], values))
    for alpha, (loss, v) in zip((1.0, 4.0), losses, strict=True):
        expected = (v["arch_loss"] + v["eval_loss"]) / alpha + alpha * v["distill_loss"] + v["penalty"]
        assert loss == pytest.approx(expected, rel=1e-5)


def test_per_network_clipping_leaves_the_architecture_alone():
    searcher = make(clip=1e-3)
    searcher.twin.rebuild(searcher.arch)
    found = gradients_at_step(searcher, lambda: searcher.step_arch(*batch()))
    norms = {
        name: math.sqrt(sum(float((g**2).sum()) for g in found.get(name, ()))) for name in parts(searcher)
    }
    twin = math.hypot(*(norms[name] for name in ("stem", "eval", "heads", "ensemble")))
    assert twin == pytest.approx(1e-3, rel=1e-3)
    assert norms["alpha"] > 1.0


def test_ensemble_output_has_three_rows_per_image_on_the_darts_space():
    options = {"channels": 4, "cells": 3, "search_channels": 4, "search_cells": 3}
    space = DartsSpace(DartsConfig(**options, eval_channels=4, eval_cells=3, stem_multiplier=1))
    distiller = StagesDistiller(StagesConfig())
    searcher = Cdarts(CdartsConfig(preset="official"))
    searcher.setup(make_context(distiller, space=space))
    searcher.twin.rebuild(searcher.arch)
    images, _ = batch()
    for network, heads in (
        (searcher.search_net, distiller.student_heads),
        (searcher.twin.network, distiller.teacher_heads),
    ):
        assert distiller.embed(network(images), heads).shape == (3 * len(images), TASK.num_classes)


@pytest.mark.parametrize("preset", ["official", "clean"])
@pytest.mark.parametrize(
    ("arch", "lost"), [(CONV_AFTER_SKIP, True), (SKIP_AFTER_CONV, False)], ids=["skip first", "conv first"]
)
def test_published_copy_stops_at_the_first_identity(preset, arch, lost):
    searcher = make(preset)
    name = "cells.1.node.edges.in0.options.conv.1.weight"
    searcher.twin.rebuild(arch)
    copied = torch.equal(searcher.twin.network.state_dict()[name], searcher.twin.bank.state_dict()[name])
    assert copied is not (lost and preset == "official")
    with torch.no_grad():
        searcher.twin.network.get_parameter(name).fill_(7.0)
    searcher.twin.remember()
    remembered = bool((searcher.twin.bank.state_dict()[name] == 7.0).all())
    assert remembered is not (lost and preset == "official")


def test_pooling_is_no_identity_for_the_published_copy():
    searcher = make()
    arch = Arch({**CONV_AFTER_SKIP, "op/in1": "pool"})
    searcher.twin.rebuild(arch)
    assert find_untransferred(searcher.twin.network, arch) == []
    searcher.twin.rebuild(CONV_AFTER_SKIP)
    edges = [f"cells.{cell}.node.edges.in0." for cell in (0, 1)]
    assert find_untransferred(searcher.twin.network, CONV_AFTER_SKIP) == edges
