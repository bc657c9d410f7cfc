"""Gradient checkpointing changes what is kept, and nothing else."""

import warnings

import pytest
import torch
from torch import nn

from nasforge.config import PluginConfig
from nasforge.nn import set_drop_path
from nasforge.plugins import Registry
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.training.optim import frozen
from nasforge_plugins.distillers.logits.config import LogitsConfig
from nasforge_plugins.distillers.logits.distiller import LogitsDistiller
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from support.tiny_training import TinySpace
from support.twin_world import TinyData, make_context

TASK = Task(image_size=16)
SPACES = {
    "darts": {
        "search_channels": 4,
        "search_cells": 3,
        "eval_channels": 4,
        "eval_cells": 3,
        "channels": 4,
        "cells": 4,
    },
    "nasbench201": {
        "search_channels": 4,
        "search_cells": 1,
        "eval_channels": 4,
        "eval_cells": 1,
        "channels": 4,
    },
    "chain": {
        "layout": "cifar",
        "depths": [1, 2, 1, 1, 1],
        "widths": [8, 8, 8, 8, 8],
        "kernels": [3, 5],
        "head_channels": 8,
        "classifier_channels": 8,
    },
}


def make_space(name, execution):
    plugin = Registry.discover().get("space", name)
    return plugin.load()(plugin.config.model_validate({**SPACES[name], "execution": execution}))


def runtime(checkpointing):
    return Runtime.create("cpu", gradient_checkpointing=checkpointing)


def seen(network, space, weights=None, resting=()):
    """Outputs, gradients and running statistics of a step, and the bytes that autograd kept for it."""
    torch.manual_seed(3)
    images = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), frozen(resting):
        loss = network(images, weights).logits.square().sum()
    loss.backward()
    values = {"loss": loss.detach(), "images": images.grad, "random": torch.rand(3)}
    values |= {f"grad {n}": p.grad for n, p in network.named_parameters() if p.grad is not None}
    values |= {f"weights {n}": w.grad for n, w in (weights or {}).items()}
    return {**values, **network.state_dict()}, kept


def draw_weights(space):
    generator = torch.Generator().manual_seed(1)
    return {c.name: torch.rand(len(c.options), generator=generator).requires_grad_() for c in space.choices}


def both(build, space, **how):
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        network = runtime(checkpointing).prepare(build()).train()
        set_drop_path(network, 0.3)
        weights = draw_weights(space) if how.get("weighted") else None
        resting = list(network.parameters())[4:] if how.get("resting") else ()
        results.append(seen(network, space, weights, resting))
    return results


def assert_same(results):
    (plain, _), (recomputed, _) = results
    assert plain.keys() == recomputed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, rtol=0, atol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("execution", ["fast", "reference"])
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("resting", [False, True])
def test_supernets_compute_the_same_to_the_bit_and_keep_less(name, execution, resting):
    space = make_space(name, execution)
    results = both(lambda: space.build(TASK, scale="search"), space, weighted=True, resting=resting)
    assert_same(results)
    assert results[1][1] < results[0][1] / 2


@pytest.mark.parametrize("name", SPACES)
def test_networks_that_drop_paths_draw_the_same_ones(name):
    from random import Random

    space = make_space(name, "fast")
    arch = space.sample(Random(0))
    results = both(lambda: space.build(TASK, arch, scale="final"), space)
    assert_same(results)
    assert results[1][1] < results[0][1]


def test_a_search_takes_the_same_steps():
    after = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        context = make_context(LogitsDistiller(LogitsConfig()), TinyData(), space=make_space("darts", "fast"))
        object.__setattr__(context, "runtime", runtime(checkpointing))
        searcher = Cdarts(CdartsConfig(iterations=3, warmup_epochs=1))
        searcher.setup(context)
        for _ in range(2):
            searcher.step()
        after.append({n: p.detach() for n, p in searcher.collect_parts().named_parameters()})
        assert searcher.search_net.recompute is checkpointing
        assert searcher.twin.network.recompute is checkpointing
    for name, value in after[0].items():
        assert torch.equal(after[1][name], value), name


def test_nothing_is_recomputed_without_gradients():
    space = make_space("nasbench201", "fast")
    network = runtime(True).prepare(space.build(TASK)).eval()
    with torch.no_grad():
        assert not network(torch.randn(2, 3, 16, 16)).logits.requires_grad


def test_networks_without_blocks_say_so():
    network = TinySpace(PluginConfig()).build(Task(3, 8, 3))
    with pytest.warns(UserWarning, match="gradient_checkpointing: .* has no blocks to recompute"):
        runtime(True).prepare(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtime(False).prepare(network)
        runtime(True).prepare(nn.Linear(2, 2))
