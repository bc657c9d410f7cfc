"""CDARTS and the published loop side by side, with equal weights and images, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from nasforge.seeding import derive_seed
from nasforge.space import Task
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from support.published_cdarts import Published, Rules
from support.published_cells import DartsCells
from support.twin_world import TinyData, make_context

TASK = Task(image_size=16, num_classes=3)


@contextmanager
def doubles(monkeypatch) -> Iterator[None]:
    """Compute in float64 throughout, also what is cast to float32 for numerical safety."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


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
