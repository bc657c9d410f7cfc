"""Preset ``official`` of CDARTS against an independent writing of the published loop, across rebuilds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nasforge.seeding import derive_seed
from nasforge.space import Task
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201
from support.published_cdarts import Published, Rules
from support.published_cells import DartsCells, NasBench201Cells
from support.twin_world import TinyData, make_context

TASK = Task(image_size=16, num_classes=3)
TOLERANCE = 1e-11
"""Largest difference between two numbers, in float64; rounding leaves about 1e-13 after three cycles."""

RULES = {"cycles": 4, "warmup": 1, "lr": 0.08, "arch_lr": 0.08}


class Images(TinyData):
    """Sixteen pixels a side, in float64; keeps every pass that was read."""

    def __init__(self, batches: int) -> None:
        super().__init__({"weights": batches, "arch": batches})
        self.passes: list[list[tuple[Tensor, Tensor]]] = []

    @property
    def task(self) -> Task:
        return TASK

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        generator = torch.Generator().manual_seed(derive_seed(0, split, epoch))
        found = []
        for _ in range(self.counts[split]):
            labels = torch.randint(3, (4,), generator=generator)
            noise = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)
            found.append((noise + labels.view(-1, 1, 1, 1), labels))
        self.passes.append(found)
        yield from found


@pytest.fixture(autouse=True)
def _doubles(monkeypatch):
    """Compute in float64 throughout, also what is cast to float32 for numerical safety."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    yield
    torch.set_default_dtype(before)


class Pair:
    """A searcher and the published loop, with equal weights and images."""

    def __init__(self, space, cells, rules: Rules, alpha, batches: int = 2, **options) -> None:
        torch.manual_seed(3)
        self.data = Images(batches)
        penalty = {"multiplier": 1.0, "reduction": "mean", "options": ["none"]}
        darts = isinstance(cells, DartsCells)
        config = CdartsConfig(
            **{
                "preset": "official",
                "iterations": rules.cycles,
                "warmup_epochs": rules.warmup,
                "lr": rules.lr,
                "arch_lr": rules.arch_lr,
                "sample_ratio": rules.sample_ratio,
                "twin": {"lr": rules.lr},
                "penalty": {} if darts else penalty,
                **options,
            }
        )
        self.ours = Cdarts(config)
        distiller = StagesDistiller(StagesConfig(freeze_heads=rules.freeze_heads))
        self.ours.setup(make_context(distiller, self.data, space=space))
        with torch.no_grad():
            for name, values in self.ours.alpha.logits.items():
                values.copy_(alpha(name, len(values)))
        self.ours.arch = self.ours.derive()
        self.fresh: dict[str, Tensor] | None = None
        self._watch(self.ours.space)
        self.theirs = self._copy_out(cells, rules)

    def _watch(self, space) -> None:
        build = space.build

        def watched(task, arch=None, scale="final"):
            network = build(task, arch, scale)
            if arch is not None:
                self.fresh = {n: p.detach().clone() for n, p in without_shared(network).items()}
            return network

        space.build = watched

    def _copy_out(self, cells, rules: Rules) -> Published:
        def clone(tensors) -> dict[str, Tensor]:
            return {name: tensor.detach().clone() for name, tensor in tensors.items()}

        twin, search = self.ours.twin, dict(self.ours.search_net.named_parameters())
        bank = dict(twin.bank.named_parameters())
        return Published(
            cells,
            rules,
            clone({n: p for n, p in search.items() if n.startswith("stem.")}),
            clone({n: p for n, p in search.items() if not n.startswith("stem.")}),
            clone({n: p for n, p in without_shared(twin.bank).items() if cells_keep(cells, n)}),
            clone({n: p for n, p in bank.items() if n.startswith("classifier.")}),
            clone(dict(twin.distiller.named_parameters())),
            clone(dict(self.ours.alpha.logits.items())),
        )

    def cycle(self) -> float:
        """Run one cycle of both; return the largest difference between any two of their numbers."""
        self.data.passes.clear()
        index = self.ours.epoch
        self.ours.step()
        self.theirs.cycle(index, self.data.passes, self.fresh)
        return max(
            float((values - named[name]).detach().abs().max())
            for values_of, named in self.pairs()
            for name, values in values_of.items()
        )

    def pairs(self):
        ours, theirs, twin = self.ours, self.theirs, self.ours.twin
        search = dict(ours.search_net.named_parameters())
        yield theirs.stem, search
        yield theirs.search, search
        yield theirs.alpha, dict(ours.alpha.logits.items())
        yield theirs.heads, dict(twin.distiller.named_parameters())
        yield theirs.bank, dict(twin.bank.named_parameters())
        if twin.network is not None:
            network = dict(twin.network.named_parameters())
            yield theirs.evaluation, network
            yield theirs.classifier, network


def without_shared(network) -> dict[str, Tensor]:
    outside = ("stem.", "classifier.")
    return {n: p for n, p in network.named_parameters() if not n.startswith(outside)}


def cells_keep(cells, name: str) -> bool:
    return isinstance(cells, DartsCells) or cells.is_copied(name, {})


def nasbench201(execution: str = "fast", **options) -> Pair:
    sizes = {"search_channels": 4, "search_cells": 1, "eval_channels": 4, "eval_cells": 2}
    more = {"skeleton": "official", "cut_none": False, **options.pop("space", {})}
    space = NasBench201(NasBench201Config(**sizes, **more, execution=execution))
    rules = Rules(
        **RULES, search_cells=(1, 1, 1), eval_cells=(2, 2, 2), sample_ratio=options.pop("sample_ratio", 1.0)
    )
    # Node 1 has two convolutions, of which nothing but `none` leads on.
    first = ("nor_conv_3x3", "nor_conv_1x1", "none", "skip_connect", "none", "nor_conv_3x3")
    named = dict(zip(NasBench201Cells.choices(), first, strict=True))

    def alpha(name: str, count: int) -> Tensor:
        drawn = 0.01 * torch.randn(count)
        drawn[NasBench201Cells.operations.index(named[name])] += 0.1
        return drawn

    return Pair(space, NasBench201Cells(), rules, alpha, **options)


def darts(execution: str = "fast", **options) -> Pair:
    sizes = {"search_channels": 4, "search_cells": 4, "eval_channels": 4, "eval_cells": 5}
    space = DartsSpace(DartsConfig(**sizes, execution=execution))
    rules = Rules(**RULES, search_cells=(2, 1, 1), eval_cells=(2, 2, 1), freeze_heads=True)
    cells = DartsCells()
    cells.reductions = (1, 3)

    def alpha(name: str, count: int) -> Tensor:
        drawn = 0.1 * torch.randn(count)
        drawn[2] += 0.1  # identities, at which the published copy ends
        return drawn

    return Pair(space, cells, rules, alpha, **options)


@pytest.mark.parametrize(
    ("make", "execution"),
    [
        (nasbench201, "fast"),
        (nasbench201, "reference"),
        (darts, "fast"),
        pytest.param(darts, "reference", marks=pytest.mark.slow),
    ],
)
def test_official_repeats_the_published_loop_across_three_rebuilds(make, execution):
    pair = make(execution)
    derived = [pair.ours.arch]
    for _ in range(RULES["cycles"]):
        assert pair.cycle() < TOLERANCE
        derived.append(pair.ours.arch)
    assert all(map(math.isfinite, pair.theirs.norms))
    assert len(set(derived[1:-1])) > 1, "evaluation networks have to differ"


def test_official_repeats_the_published_share_of_an_epoch():
    pair = nasbench201(sample_ratio=0.5, batches=4)
    assert max(pair.cycle() for _ in range(2)) < TOLERANCE
    assert pair.ours.batches.count("arch") == 3


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (nasbench201, {"quirks": {"fresh_norms": False}}),
        (nasbench201, {"space": {"cut_none": True}}),
        (nasbench201, {"quirks": {"extra_batch": False}, "sample_ratio": 0.5}),
        (nasbench201, {"quirks": {"zero_gradients": False}}),
        (darts, {"quirks": {"copy_bug": False}}),
        (darts, {"quirks": {"clip_scope": "per_network"}}),
    ],
)
def test_the_comparison_notices_every_quirk(make, options):
    pair = make(**options)
    assert any(pair.cycle() > 1e4 * TOLERANCE for _ in range(4))


def test_no_gradient_outlives_a_rebuild(monkeypatch):
    pair = nasbench201()
    for _ in range(2):
        pair.cycle()
    assert any(p.grad is not None for p in pair.ours.search_net.parameters())
    left: list[list[str]] = []

    def step_eval(*batch):
        left.append([n for n, p in pair.ours.collect_parts().named_parameters() if p.grad is not None])
        return original(*batch)

    original = pair.ours.step_eval
    monkeypatch.setattr(pair.ours, "step_eval", step_eval)
    pair.cycle()
    assert left[0] == []
    assert not any(name.startswith(("search.cells", "search.stages", "distiller")) for name in left[1])
