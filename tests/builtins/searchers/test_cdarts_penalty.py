"""The penalty of CDARTS against the published searches: its value, its schedule, its weight in the norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nasforge.nn import ArchParameters
from nasforge.seeding import derive_seed
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.cdarts.config import CdartsConfig, QuirkOptions
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from nasforge_plugins.searchers.cdarts.update import QuirkyUpdate
from nasforge_plugins.searchers.gradient.penalties import L1Penalty, fading
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201
from support.twin_world import make_context

CIFAR = {"coefficient": 5.0, "ratio": 0.667, "epochs": 30}


def make(preset: str = "clean", **options) -> Cdarts:
    torch.manual_seed(derive_seed(0, "test"))
    searcher = Cdarts(CdartsConfig(preset=preset, **options))
    searcher.setup(make_context(StagesDistiller(StagesConfig())))
    return searcher


def darts_alpha(value: float) -> tuple[DartsSpace, ArchParameters]:
    space = DartsSpace(DartsConfig())
    alpha = ArchParameters(c for c in space.choices if c.kind == "op")
    for logits in alpha.parameters():
        nn.init.constant_(logits, value)
    return space, alpha


def test_l1_value_of_the_published_cifar_search():
    space, alpha = darts_alpha(0.01)
    operations = [c for c in space.choices if c.kind == "op"]
    penalty = L1Penalty(operations, space.parameter_free, multiplier=3.0)
    assert 5.0 * penalty(dict(alpha.logits.items())).item() == pytest.approx(12.6, rel=1e-5)


def test_l1_value_of_the_published_nasbench201_search():
    choices = NasBench201(NasBench201Config()).choices
    logits = {c.name: torch.full((len(c.options),), 0.01) for c in choices}
    assert 5.0 * L1Penalty(choices, ["none"], mean=True)(logits).item() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(2, 5.0), (10, 3.0), (20, 0.50), (22, 0.0025), (23, 0.0), (31, 0.0)]
)
def test_l1_schedule_of_the_published_cifar_search(epoch, expected):
    assert fading(epoch - 2, **CIFAR) == pytest.approx(expected, rel=5e-3)


def test_l1_ends_where_the_other_published_searches_end_it():
    imagenet = {"coefficient": 5.0, "ratio": 0.5, "epochs": 30}
    nasbench201 = {"coefficient": 5.0, "ratio": 0.667, "epochs": 50}
    assert fading(24 - 10, **imagenet) > 0 == fading(25 - 10, **imagenet)
    assert fading(33, **nasbench201) > 0 == fading(34, **nasbench201)


def test_the_strength_of_the_penalty_counts_joint_epochs():
    searcher = make(iterations=5, warmup_epochs=1, joint_epochs=2, penalty={"ratio": 0.5})
    with torch.no_grad():
        for logits in searcher.alpha.parameters():
            logits.fill_(1.0)
    strengths = []
    for searcher.epoch in range(1, 4):
        for searcher.repeat in range(2):
            strengths.append(searcher.compute_penalties().item())
    expected = [max(1.0 - done / 4, 0.0) for done in range(6)]
    assert [strength / strengths[0] for strength in strengths] == pytest.approx(expected)


@pytest.mark.parametrize("preset", ["official", "clean"])
def test_the_published_penalty_takes_cycles_of_the_warm_up_for_epochs(preset):
    """Published: c (1 - (e - w) / ((I - w) E r)) with e = E i + s, where w counts cycles and e epochs."""
    cycles, warmup, epochs, ratio = 32, 2, 2, 0.667
    searcher = make(preset, iterations=cycles, warmup_epochs=warmup, joint_epochs=epochs)
    with torch.no_grad():
        for logits in searcher.alpha.parameters():
            logits.fill_(1.0)
    one = searcher.penalty(dict(searcher.alpha.logits.items())).item()
    for searcher.epoch, searcher.repeat in [(2, 0), (2, 1), (10, 0), (31, 1)]:
        epoch = epochs * searcher.epoch + searcher.repeat
        late = epoch - warmup if preset == "official" else epoch - warmup * epochs
        expected = max(5.0 * (1 - late / ((cycles - warmup) * epochs * ratio)), 0.0)
        assert searcher.compute_penalties().item() / one == pytest.approx(expected, rel=1e-6)
        if (searcher.epoch, searcher.repeat) == (2, 0):
            assert expected == pytest.approx(4.75 if preset == "official" else 5.0, abs=1e-3)


@pytest.mark.parametrize(
    ("epoch", "scale"), [(2, 0.036), (5, 0.043), (10, 0.061), (15, 0.104), (20, 0.36), (21, 0.72), (22, 1.0)]
)
@pytest.mark.parametrize("scope", ["all", "per_network"])
def test_clipping_over_everything_damps_the_evaluation_network(epoch, scale, scope):
    space, alpha = darts_alpha(0.01)
    operations = [c for c in space.choices if c.kind == "op"]
    penalty = L1Penalty(operations, space.parameter_free, multiplier=3.0)
    weight = nn.Parameter(torch.zeros(()))
    loss = 1e-3 * weight + fading(epoch - 2, **CIFAR) * penalty(dict(alpha.logits.items()))
    sgd = torch.optim.SGD([weight], lr=1.0)
    quirks = QuirkOptions(clip_scope=scope)
    QuirkyUpdate(5.0, quirks, lambda: [weight, *alpha.parameters()]).descend(loss, [sgd], [weight])
    expected = scale if scope == "all" else 1.0
    assert -weight.item() / 1e-3 == pytest.approx(expected, abs=0.006)
