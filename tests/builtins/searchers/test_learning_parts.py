"""Mutation, alignment and early stopping of search networks, against other writings of what is published."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from nasforge.config import PluginConfig
from nasforge.errors import RunError
from nasforge.nn import ChoiceBlock, Output
from nasforge.plugins import Registry
from nasforge.runtime.shards import Shards
from nasforge.space import Scale, Task
from nasforge.testing import Partners, checks_for
from nasforge_plugins.searchers.gradient.alignment import Alignment, agreement, slopes
from nasforge_plugins.searchers.gradient.cells import Cells
from nasforge_plugins.searchers.gradient.options import (
    AlignmentOptions,
    EarlyStoppingOptions,
    MutationOptions,
)
from support.tiny_darts import TINY as TINY_DARTS
from support.twin_world import TASK, TinyNetwork, TinySpace, make_context

REGISTRY = Registry.discover()
PROBE = torch.zeros(2, 3, 8, 8)


class ThreeCells(TinySpace):
    parameter_free = frozenset({"skip", "pool", "none"})

    def build(self, task: Task, arch=None, scale: Scale = "final"):
        return TinyNetwork(self, task, arch, 3)


def make(name: str = "darts", **options: Any):
    torch.manual_seed(0)
    plugin = REGISTRY.get("searcher", name)
    searcher = plugin.load()(plugin.config(**{"epochs": 4, **options}))
    searcher.setup(make_context(space=ThreeCells(PluginConfig())))
    return searcher


def batch(seed: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, 8, 8, generator=generator, dtype=dtype), torch.tensor([0, 1, 2, 0])


def tiny_space(name: str, **options: Any):
    plugin = REGISTRY.get("space", name)
    return plugin.load()(plugin.config(**{**plugin.tiny, **options}))


@pytest.mark.parametrize(
    ("name", "options"), [("nasbench201", {"search_channels": 4}), ("darts", TINY_DARTS), ("chain", {})]
)
def test_cells_run_under_weights_of_their_own(name, options):
    torch.manual_seed(0)
    space = tiny_space(name, **options)
    network = space.build(TASK, scale="search").eval()
    cells = Cells(network, PROBE, "mutation.probability")
    assert sorted({n for c in cells.list for n in c.names}) == sorted(
        c.name for c in space.choices if c.kind == "op"
    )
    weights = {c.name: torch.rand(len(c.options)) for c in space.choices}
    images, _ = batch(0)
    with torch.no_grad():
        expected = network(images, weights).logits
        own = [{n: weights[n] for n in cell.names} for cell in cells.list]
        uniform = {n: torch.full_like(w, 0.5) for n, w in weights.items()}
        edges = {c.name: weights[c.name] for c in space.choices if c.kind == "edge"}
        with cells.given(own):
            given = network(images, {**uniform, **edges}).logits
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
        with cells.given([*own[:-1], {n: 2.0 * w for n, w in own[-1].items()}]):
            assert not torch.allclose(network(images, weights).logits, expected, rtol=1e-3)
        torch.testing.assert_close(network(images, weights).logits, expected, rtol=0, atol=0)


def test_edges_mutate_as_often_as_the_schedule_says_to_operations_with_parameters():
    # MixedOp.forward of the published code: random() < p, then randint over the operations with parameters.
    space = tiny_space("nasbench201", search_cells=2, search_channels=4)
    torch.manual_seed(0)
    plugin = REGISTRY.get("searcher", "darts")
    searcher = plugin.load()(plugin.config(epochs=4, mutation={"probability": (0.0, 0.4)}))
    searcher.setup(make_context(space=space))
    mutation, weights = searcher.parts._mutation, searcher.draw_weights()
    assert mutation.draw(weights, 0.0) == [{}] * 6
    rows = [w for _ in range(60) for cell in mutation.draw(weights, 0.5) for w in cell.values()]
    places = 60 * 6 * 6
    assert abs(len(rows) / places - 0.2) < 4 * (0.2 * 0.8 / places) ** 0.5
    counts = torch.stack(rows).sum(0)
    options = dict(zip(space.choices[0].options, counts.tolist(), strict=True))
    drawn = {option for option, count in options.items() if count}
    assert drawn == {"nor_conv_1x1", "nor_conv_3x3"}
    assert abs(options["nor_conv_1x1"] / len(rows) - 0.5) < 4 * 0.5 / len(rows) ** 0.5


def test_the_network_learns_under_mutated_edges_and_the_architecture_does_not():
    searcher = make(mutation={"probability": (1.0, 1.0)})
    seen = []
    for block in [m for m in searcher.search_net.modules() if isinstance(m, ChoiceBlock)]:
        block.register_forward_pre_hook(lambda block, args: seen.append(args[1][block.choice.name].tolist()))
    searcher.step_search(*batch(1))
    assert seen == [[1.0, 0.0, 0.0, 0.0]] * 9
    seen.clear()
    searcher.step_arch(*batch(2))
    assert all(0.2 < w < 0.3 for row in seen for w in row)


def test_slopes_are_the_derivative_of_the_mean_cosine_of_all_pairs():
    torch.manual_seed(0)
    gradients = [torch.randn(7, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    pairs = torch.stack([cosine_similarity(a, b, dim=0) for a, b in combinations(gradients, 2)]).mean()
    torch.testing.assert_close(agreement(gradients), pairs, rtol=1e-12, atol=1e-12)
    expected = torch.autograd.grad(pairs, gradients)
    found = slopes([g.detach() for g in gradients])
    torch.testing.assert_close(found, list(expected), rtol=1e-12, atol=1e-12)


def test_the_aligned_gradient_is_that_of_the_second_derivative():
    torch.manual_seed(0)
    space = ThreeCells(PluginConfig())
    network = space.build(TASK).double()
    images, labels = batch(0, torch.float64)
    weights = {c.name: torch.rand(len(c.options), dtype=torch.float64) for c in space.choices}
    own = [{n: w.clone().requires_grad_() for n, w in weights.items() if n != "inputs"} for _ in range(3)]
    x = network.stem(images)
    for cell, mine in zip(network.cells, own, strict=True):
        x = cell(x, {**weights, **mine})
    loss = cross_entropy(network.classifier(network.down(x).mean((2, 3))), labels)
    rows = torch.autograd.grad(loss, [w for cell in own for w in cell.values()], create_graph=True)
    vectors = [torch.cat(rows[i : i + 3]) for i in (0, 3, 6)]
    pairs = torch.stack([cosine_similarity(a, b, dim=0) for a, b in combinations(vectors, 2)]).mean()
    learned = list(network.parameters())
    expected = torch.autograd.grad(loss - 0.3 * pairs, learned)
    plain = torch.autograd.grad(cross_entropy(network(images, weights).logits, labels), learned)

    cells = Cells(network, PROBE.double(), "alignment.strength")
    alignment = Alignment(AlignmentOptions(strength=0.6, epsilon=1e-4), cells)

    def run() -> tuple[Output, torch.Tensor]:
        output = network(images, weights)
        return output, cross_entropy(output.logits, labels)

    _, reported, value, aim = alignment.correct(run, network, [], weights, [{}, {}, {}], 0.5)
    torch.testing.assert_close(reported, loss.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(value, pairs.detach(), rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(aim, learned)
    flat = [torch.cat([g.flatten() for g in gradients]) for gradients in (found, expected, plain)]
    torch.testing.assert_close(flat[0], flat[1], rtol=1e-5, atol=1e-6)
    assert (flat[1] - flat[2]).norm() > 0.01 * flat[2].norm(), "the term is no rounding error"


def published_stopping(searcher, batches, interval: int, threshold: float):
    """Run the training loop of PasaLab/oles beside a searcher, whose option weights it takes."""
    network = copy.deepcopy(searcher.search_net)
    optimizer = torch.optim.SGD(network.parameters(), searcher.config.lr, 0.9, weight_decay=3e-4)
    convolutions = {
        f"{path}.options.{name}": next(option.parameters())
        for path, block in network.named_modules()
        if isinstance(block, ChoiceBlock)
        for name, option in block.options.items()
        if list(option.parameters())
    }
    before, sums, counts = {}, dict.fromkeys(convolutions, 0.0), dict.fromkeys(convolutions, 0)
    for valid, train in pairwise(batches):
        network.train()
        weights = {n: w.detach() for n, w in searcher.draw_weights().items()}
        cross_entropy(network(valid[0], weights).logits, valid[1]).backward()  # adds to what is left
        for name, p in convolutions.items():
            if name in before and p.requires_grad:
                sums[name] += float(cosine_similarity(p.grad, before[name], dim=0).mean())
                if counts[name] == interval:
                    p.requires_grad_(sums[name] / interval >= threshold)
                    counts[name], sums[name] = 0, 0.0
                else:
                    counts[name] += 1
        searcher.step_arch(*valid)
        weights = {n: w.detach() for n, w in searcher.draw_weights().items()}
        optimizer.zero_grad()
        cross_entropy(network(train[0], weights).logits, train[1]).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        before = {n: p.grad.clone() for n, p in convolutions.items() if p.requires_grad}
        searcher.step_search(*train)
    stopped = {name for name, p in convolutions.items() if not p.requires_grad}
    return network, sums, counts, stopped


def test_operations_stop_as_in_the_published_loop():
    threshold = 1.47  # sums of three cosines over two, of which some are below this and some are not
    options = EarlyStoppingOptions.model_construct(threshold=threshold, interval=2, compare="sum")
    searcher = make(early_stopping={"threshold": 0.4, "interval": 2})
    searcher.parts.stopping._options = options
    network, sums, counts, stopped = published_stopping(
        searcher, [batch(seed) for seed in range(6)], 2, threshold
    )
    stopping = searcher.parts.stopping
    assert stopping.stopped == stopped
    assert 0 < len(stopped) < 9
    assert stopping.metrics() == {"stopped_operations": len(stopped) / 9}
    for name in counts.keys() - stopped:
        assert stopping._counts[name] == counts[name]
        assert float(stopping._sums[name]) == pytest.approx(sums[name], abs=1e-4)
    ours = searcher.search_net.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)


def test_the_paper_compares_with_the_validation_gradient_alone():
    searcher = make(early_stopping={"threshold": -1.0, "compare": "validation"})
    train, valid = batch(1), batch(2)
    searcher.step_search(*train)
    before = {n: rows[0].clone() for n, rows in searcher.parts.stopping._before.items()}
    network, weights = copy.deepcopy(searcher.search_net), searcher.draw_weights()
    cross_entropy(network(valid[0], weights).logits, valid[1]).backward()
    searcher.step_arch(*valid)
    for name, gradient in before.items():
        (parameter,) = network.get_submodule(name).parameters()
        expected = cosine_similarity(parameter.grad, gradient, dim=0).mean()
        torch.testing.assert_close(searcher.parts.stopping._sums[name], expected, rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for p in searcher.search_net.parameters())


PARTS = {
    "mutation": {"probability": (0.5, 0.5)},
    "alignment": {"strength": 0.5},
    "early_stopping": {"threshold": 0.9, "interval": 1},
}


@pytest.mark.parametrize("name", ["darts", "cdarts"])
def test_parts_together_resume_exactly(name):
    plugin = REGISTRY.get("searcher", name)
    space = lambda: tiny_space("nasbench201", search_channels=4)  # noqa: E731
    options = {"warmup_epochs": 0, **PARTS}
    options |= {"epochs": 2} if name == "darts" else {"iterations": 2}
    checks = {c.name: c for c in checks_for(plugin, options=options, partners=Partners(space=space))}
    checks["resuming_equals_not_stopping"]()


def test_parts_that_are_off_change_nothing():
    searcher = make()
    hooks = [module._forward_pre_hooks for module in searcher.search_net.modules()]
    searcher.step_search(*batch(1))
    assert not any(hooks)
    assert not searcher.parts.stopping.is_on
    assert "early_stopping" not in searcher.state_dict()


def test_a_search_without_repeated_cells_cannot_align():
    plugin = REGISTRY.get("searcher", "darts")
    searcher = plugin.load()(plugin.config(alignment={"strength": 0.1}))
    with pytest.raises(RunError, match=r"every choice stands once.*repeated cells"):
        searcher.setup(make_context(space=tiny_space("chain")))


def test_shards_and_early_stopping_exclude_each_other():
    plugin = REGISTRY.get("searcher", "darts")
    searcher = plugin.load()(plugin.config(early_stopping={"threshold": 0.4}))
    context = make_context()
    context = replace(context, runtime=replace(context.runtime, shards=Shards(2)))
    with pytest.raises(RunError, match=r"Set run\.shards = 1"):
        searcher.setup(context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alignment": {"strength": 1.0}, "relaxation": {"kind": "gumbel"}}, "choose another relaxation"),
        ({"early_stopping": {"threshold": 0.4}, "order": 2}, "set order = 1"),
    ],
)
def test_parts_that_do_not_fit_together(options, message):
    plugin = REGISTRY.get("searcher", "darts")
    with pytest.raises(ValidationError, match=message):
        plugin.config(**options)
    assert plugin.config(mutation=MutationOptions(probability=(0.0, 0.1))).mutation.probability[1] == 0.1
