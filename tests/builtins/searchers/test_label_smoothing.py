"""Smoothed labels in every loss that trains, and in none that measures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nasforge.plugins import Registry
from nasforge_plugins.distillers.logits.config import LogitsConfig
from nasforge_plugins.distillers.logits.distiller import LogitsDistiller
from support.twin_world import make_context

REGISTRY = Registry.discover()


def make(name: str, options: dict, distilled: bool = False):
    torch.manual_seed(0)
    plugin = REGISTRY.get("searcher", name)
    searcher = plugin.load()(plugin.config(**options))
    searcher.setup(make_context(LogitsDistiller(LogitsConfig()) if distilled else None))
    return searcher


def smoothed(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    """Write (1 - ε) CE + ε · mean over classes of -log p, as Szegedy et al. define it."""
    log_p = logits.double() - logits.double().exp().sum(1, keepdim=True).log()
    hard = -log_p[torch.arange(len(labels)), labels]
    return ((1 - share) * hard - share * log_p.mean(1)).mean()


@pytest.mark.parametrize(
    ("name", "options", "distilled"),
    [
        ("darts", {"epochs": 3, "warmup_epochs": 0}, False),
        ("cdarts", {"iterations": 3, "warmup_epochs": 1}, True),
    ],
)
def test_losses_that_train_are_smoothed(name, options, distilled):
    searcher = make(name, {**options, "label_smoothing": 0.3}, distilled)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 0])
    seen: list[Tensor] = []
    run = searcher.run

    def watch(*args, **kwargs):
        output = run(*args, **kwargs)
        seen.append(output.logits.detach())
        return output

    searcher.run = watch
    values = searcher.step_search(images, labels)
    torch.testing.assert_close(
        values["search_loss"].double(), smoothed(seen[-1], labels, 0.3), rtol=1e-5, atol=1e-6
    )
    if distilled:
        searcher.twin.rebuild(searcher.choose_twin_arch())
        loss, _, output = searcher.twin.loss(images, labels)
        expected = smoothed(output.logits.detach(), labels, 0.3)
        torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-5, atol=1e-6)
        values = searcher.step_jointly(images, labels)
    else:
        values = searcher.step_arch(images, labels, (images, labels))
    torch.testing.assert_close(
        values["arch_loss"].detach().double(), smoothed(seen[-1], labels, 0.3), rtol=1e-5, atol=1e-6
    )
