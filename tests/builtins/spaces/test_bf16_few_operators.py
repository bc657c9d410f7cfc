"""bf16 as on a GPU: cells of few operators are as close to float32 as plain modules under bf16 are."""

import pytest
import torch

from nasforge.plugins import Registry
from nasforge.space import Task
from nasforge_plugins.kernels import sum_cell
from nasforge_plugins.spaces.darts import network as darts_network

TASK = Task(3, 16, 5)
SEARCH = {"search_channels": 8}


def build(name, execution):
    plugin = Registry.discover().get("space", name)
    space = plugin.load()(plugin.config(**{**plugin.tiny, **SEARCH, "execution": execution}))
    torch.manual_seed(0)
    return space, space.build(TASK, scale="search").train()


def compute(space, network, precise):
    """Logits and all gradients of a step, as one vector each."""
    images = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    weights = {c.name: torch.full((len(c.options),), 1.0 / len(c.options)) for c in space.choices}
    with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
        logits = network(images, weights).logits
    logits.float().log_softmax(1)[:, 0].mean().backward()
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return logits.detach().float().flatten(), torch.cat(gradients)


def distance(found, exact):
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_bf16_is_as_close_as_with_plain_modules(name, monkeypatch):
    monkeypatch.setenv("NASFORGE_NATIVE", "0")
    monkeypatch.setattr(darts_network, "is_launch_bound", lambda x: True)
    monkeypatch.setattr(sum_cell, "is_launch_bound", lambda x: True)
    exact = compute(*build(name, "reference"), True)
    same = compute(*build(name, "fast"), True)
    plain, fast = (compute(*build(name, way), False) for way in ("reference", "fast"))
    for kind in range(2):
        off, allowed = distance(fast[kind], exact[kind]), 1.5 * distance(plain[kind], exact[kind])
        assert distance(same[kind], exact[kind]) < 1e-4
        assert 1e-4 < off < allowed, (off, allowed)
    assert not torch.equal(fast[1], plain[1])  # so they were computed in two ways
