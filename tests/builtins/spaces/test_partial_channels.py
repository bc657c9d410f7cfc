"""Search networks whose options see a part of the channels keep the laws of their space."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from nasforge.errors import RunError
from nasforge.nn import ArchParameters, ChoiceBlock, Gumbel, Picked
from nasforge.plugins import Registry
from nasforge.space import Task
from nasforge.testing import checks_for

REGISTRY = Registry.discover()
OPTIONS = {
    "darts": {"search_channels": 8, "partial_channels": 2},
    "nasbench201": {"search_channels": 8, "partial_channels": 2},
    "chain": {"partial_channels": 4},
}
TASK = Task(3, 16, 4)


def make(name: str, **options):
    plugin = REGISTRY.get("space", name)
    return plugin.load()(plugin.config(**{**plugin.tiny, **options}))


@pytest.mark.parametrize("name", OPTIONS)
def test_networks_keep_every_law(name):
    for check in checks_for(REGISTRY.get("space", name), options=OPTIONS[name]):
        check()


@pytest.mark.parametrize("name", OPTIONS)
def test_only_the_search_network_is_partial_and_smaller(name):
    options = OPTIONS[name]
    space = make(name, **{k: v for k, v in options.items() if k != "partial_channels"})
    partial = space.with_partial_channels(options["partial_channels"])
    assert partial.config == make(name, **options).config
    sizes = [sum(p.numel() for p in s.build(TASK, scale="search").parameters()) for s in (space, partial)]
    assert sizes[1] < sizes[0]
    for scale in ("eval", "final"):
        blocks = [m for m in partial.build(TASK, scale=scale).modules() if isinstance(m, ChoiceBlock)]
        assert {block.share for block in blocks} == {1}


def test_blocks_of_the_chain_that_change_shape_are_whole():
    network = make("chain", **OPTIONS["chain"]).build(TASK, scale="search")
    shares = {m.choice.name: m.share for m in network.modules() if isinstance(m, ChoiceBlock)}
    # Tiny widths are 8 8 8 16 16, strides of the layout "cifar" 1 2 2 1 2.
    assert shares == {
        "stage1/block0": 4, "stage2/block0": 1, "stage2/block1": 4, "stage3/block0": 1, "stage3/block1": 4,
        "stage3/block2": 4, "stage4/block0": 1, "stage5/block0": 1,
    }  # fmt: skip


def test_channels_must_divide():
    with pytest.raises(RunError, match="4 channels cannot be divided into 3 groups"):
        make("darts").with_partial_channels(3).build(TASK, scale="search")
    with pytest.raises(ValidationError):
        make("darts").with_partial_channels(0)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_drawn_options_compute_and_learn_alike_however_a_space_computes(name, execution):
    space = make(name, execution=execution)
    torch.manual_seed(0)
    network = space.build(TASK, scale="search").eval()
    alpha = ArchParameters([c for c in space.choices if c.kind == "op"], 1.0, Gumbel())
    drawn = alpha.weights()
    # What runs nothing passes no gradient: the fast cells of NAS-Bench-201 leave it out.
    active = {n for n, w in drawn.items() if space_option(space, n, w) != "none"}
    images = torch.randn(2, 3, 16, 16)
    logits = network(images, drawn).logits
    one_hot = {
        n: torch.nn.functional.one_hot(torch.tensor(int(w)), len(alpha.logits[n])) for n, w in drawn.items()
    }
    soft = {n: w.float().requires_grad_() for n, w in one_hot.items()}
    expected = network(images, soft).logits
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    weights = {n: w.weight for n, w in drawn.items() if isinstance(w, Picked)}
    found = torch.autograd.grad(logits.square().sum(), list(weights.values()), allow_unused=True)
    full = torch.autograd.grad(expected.square().sum(), list(soft.values()), allow_unused=True)
    compared = 0
    for (n, _), one, many in zip(weights.items(), found, full, strict=True):
        if n in active and one is not None:
            torch.testing.assert_close(one, many[int(drawn[n])], rtol=1e-3, atol=1e-4)
            compared += 1
    assert compared > 0


def space_option(space, name: str, index: int) -> str:
    return next(c for c in space.choices if c.name == name).options[index]
