"""Networks of the nasbench201 space: sizes, laws, and the fast execution against the reference."""

from random import Random

import pytest
import torch

from nasforge import Task
from nasforge.cost import count_parameters, measure
from nasforge.nn import copy_shared, one_hot
from nasforge.runtime import Runtime
from nasforge.training.loops import score
from nasforge_plugins.kernels import sum_cell
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201

TASKS = {"c10": Task(3, 32, 10), "c100": Task(3, 32, 100), "im16": Task(3, 16, 120)}
TINY = {
    "channels": 4,
    "cells": 1,
    "search_channels": 4,
    "search_cells": 1,
    "eval_channels": 4,
    "eval_cells": 2,
}
SMALL = Task(3, 8, 5)


def same(op: str) -> str:
    return f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|"


def space(**options: object) -> NasBench201:
    return NasBench201(NasBench201Config(**options))  # type: ignore[arg-type]


def tiny(**options: object) -> NasBench201:
    return space(**{**TINY, **options})


# Fact sheet, section 3.5: parameters and millions of multiply-adds per head.
ROWS = [
    (
        "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
        (559_386, 565_236, 566_536),
        (78.56193, 78.56778, 19.64812),
    ),
    (same("nor_conv_3x3"), (1_531_546, 1_537_396, 1_538_696), (220.11969, 220.12554, 55.03756)),
    (same("nor_conv_1x1"), (241_306, 247_156, 248_456), (31.37601, 31.38186, 7.85164)),
    (same("skip_connect"), (73_306, 79_156, 80_456), (7.78305, 7.7889, 1.9534)),
    (same("avg_pool_3x3"), (73_306, 79_156, 80_456), (7.78305, 7.7889, 1.9534)),
    (same("none"), (73_306, 79_156, 80_456), (7.78305, 7.7889, 1.9534)),
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
        (1_073_466, 1_079_316, 1_080_616),
        (153.27297, 153.27882, 38.32588),
    ),
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|",
        (1_073_466, 1_079_316, 1_080_616),
        (153.27297, 153.27882, 38.32588),
    ),
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        (1_288_506, 1_294_356, 1_295_656),
        (184.73025, 184.7361, 46.1902),
    ),
]


@pytest.mark.parametrize("execution", ["fast", "reference"])
@pytest.mark.parametrize(("text", "params", "mflops"), ROWS)
def test_published_sizes(text, params, mflops, execution):
    made = space(execution=execution)
    for task, expected_params, expected_mflops in zip(TASKS.values(), params, mflops, strict=True):
        with torch.device("meta"):
            network = made.build(task, made.parse(text))
        cost = measure(network, task)
        assert cost.params == expected_params
        # The official counter also counts the additions of the classifier's bias, one per class.
        assert cost.macs + task.num_classes == round(expected_mflops * 1e6)


def test_search_network_sizes():
    with torch.device("meta"):
        network = space(skeleton="official").build(TASKS["c10"], scale="search")
    assert count_parameters(network.stem) == 464
    assert count_parameters(network.stages) + count_parameters(network.reductions) == 1_684_864
    assert count_parameters(network.classifier) == 650
    assert count_parameters(network) == 464 + 1_684_864 + 650


def test_additive_rule_on_measured_networks():
    made = space()
    rng = Random(0)
    for _ in range(5):
        arch = made.sample(rng)
        operations = made.operations(arch)
        ones, threes = operations.count("nor_conv_1x1"), operations.count("nor_conv_3x3")
        for task, params, macs in zip(
            TASKS.values(), (73_306, 79_156, 80_456), (7_783_050, 7_788_900, 1_953_400), strict=True
        ):
            with torch.device("meta"):
                cost = measure(made.build(task, arch), task)
            area = (task.image_size / 32) ** 2
            assert cost.params == params + 28_000 * ones + 243_040 * threes
            assert cost.macs + task.num_classes == macs + area * (3_932_160 * ones + 35_389_440 * threes)


@pytest.mark.parametrize("scale", ["search", "eval", "final"])
@pytest.mark.parametrize("execution", ["fast", "reference"])
@pytest.mark.parametrize("skeleton", ["benchmark", "official"])
def test_one_hot_and_names_laws(scale, execution, skeleton):
    made = tiny(execution=execution, skeleton=skeleton)
    torch.manual_seed(0)
    supernet = made.build(SMALL, scale=scale).double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    supernet(images)  # running statistics that differ from their start
    supernet.eval()
    rng = Random(1)
    for arch in [*(made.sample(rng) for _ in range(8)), made.parse("000000"), made.parse("444444")]:
        network = made.build(SMALL, arch, scale).double().eval()
        assert set(network.state_dict()) <= set(supernet.state_dict())
        copy_shared(network, supernet)
        expected = supernet(images, one_hot(made.choices, arch, dtype=torch.float64))
        got = network(images)
        torch.testing.assert_close(got.logits, expected.logits, rtol=1e-10, atol=1e-12)
        for mine, theirs in zip(got.features, expected.features, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
        picked = {c.name: c.options.index(arch[c.name][0]) for c in made.choices}
        torch.testing.assert_close(supernet(images, picked).logits, got.logits, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("side", [8, 15])
def test_feature_info_is_true(side):
    network = tiny().build(Task(3, side, 5), scale="search")
    output = network(torch.randn(2, 3, side, side))
    assert output.logits.shape == (2, 5)
    assert [f.shape for f in output.features] == [
        (2, info.channels, -(-side // info.stride), -(-side // info.stride)) for info in network.feature_info
    ]
    assert network.feature_info == ((8, 2), (16, 4), (16, 4))


def test_skeletons_differ_only_in_the_search():
    official, benchmark = tiny(skeleton="official"), tiny()
    arch = official.parse("resnet")
    for scale in ("search", "eval"):
        assert not any(n.startswith("norm.") for n in official.build(SMALL, arch, scale).state_dict())
        assert "norm.weight" in benchmark.build(SMALL, arch, scale).state_dict()
    assert "norm.weight" in official.build(SMALL, arch, "final").state_dict()
    search, final = (set(official.build(SMALL, arch, s).state_dict()) for s in ("search", "eval"))
    cell = "stages.0.0.edges.node1/node0.options.nor_conv_3x3.norm"
    assert f"{cell}.running_mean" in search
    assert f"{cell}.weight" not in search
    assert f"{cell}.weight" in final


def test_stem_is_tied_only_between_equal_widths():
    assert tiny().tied == ("stem",)
    assert tiny(search_channels=8).tied == ()


def run(network, images, weights, training):
    network.train(training)
    output = network(images, weights)
    loss = output.logits.square().sum() + sum(f.square().mean() for f in output.features)
    loss.backward()
    return output


@pytest.mark.parametrize("way", ["kernels", "torch", "few operators"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale", ["search", "eval"])
@pytest.mark.parametrize(
    "mode",
    [
        "weights",
        "some weights",
        "int",
        "none given",
        "network",
        "cut network",
        "unused nodes",
        "empty network",
    ],
)
def test_fast_equals_reference(mode, scale, training, way, monkeypatch):
    if way != "kernels":
        monkeypatch.setenv("NASFORGE_NATIVE", "0")
    if way == "few operators":  # as on a GPU
        monkeypatch.setattr(sum_cell, "is_launch_bound", lambda x: True)
    fast, reference = tiny(search_cells=2), tiny(search_cells=2, execution="reference")
    # Of three convolutions that are alike, two lead nowhere.
    codes = {
        "network": "resnet",
        "cut network": "010203",
        "unused nodes": "333300",
        "empty network": "000000",
    }
    arch = fast.parse(codes[mode]) if mode in codes else None
    torch.manual_seed(3)
    networks = [s.build(SMALL, arch, scale).double() for s in (reference, fast)]
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    networks[0](images)
    for name, parameter in networks[0].named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter)  # scales of one and shifts of zero would hide a mistake
    copy_shared(networks[1], networks[0])
    alphas, outputs = [], []
    for network in networks:
        alpha = {
            c.name: torch.linspace(-1, 1, 5, dtype=torch.float64).roll(i).requires_grad_()
            for i, c in enumerate(fast.choices)
        }
        weights = None
        if mode in ("weights", "some weights"):
            weights = {n: a.softmax(0) for n, a in alpha.items()}
            if mode == "some weights":
                del weights["node2/node1"]
        elif mode == "int":
            weights = {c.name: (2 * i) % 5 for i, c in enumerate(fast.choices)}
        outputs.append(run(network, images, weights, training))
        alphas.append(alpha)
    close = {"rtol": 1e-9, "atol": 1e-11}
    for mine, theirs in zip(outputs[1].features, outputs[0].features, strict=True):
        torch.testing.assert_close(mine, theirs, **close)
    torch.testing.assert_close(outputs[1].logits, outputs[0].logits, **close)
    theirs = dict(networks[0].named_parameters())
    for name, parameter in networks[1].named_parameters():
        expected = theirs[name].grad
        assert (parameter.grad is None) == (expected is None), name
        if expected is not None:
            torch.testing.assert_close(parameter.grad, expected, **close, msg=name)
    buffers = dict(networks[0].named_buffers())
    for name, buffer in networks[1].named_buffers():
        torch.testing.assert_close(buffer, buffers[name], **close, msg=name)
    for name in alphas[0]:
        mine, expected = alphas[1][name].grad, alphas[0][name].grad
        assert (mine is None) == (expected is None), name
        if expected is not None:
            torch.testing.assert_close(mine, expected, **close)
            assert mode not in ("weights", "some weights") or expected.abs().sum() > 0, name


def test_every_choice_gets_a_gradient():
    made = tiny()
    torch.manual_seed(0)
    supernet = made.build(SMALL, scale="search")
    weights = {c.name: torch.full((5,), 0.2, requires_grad=True) for c in made.choices}
    supernet(torch.randn(4, 3, 8, 8), weights).logits.square().sum().backward()
    for name, weight in weights.items():
        assert weight.grad is not None, name
        assert weight.grad[1:].abs().min() > 0, name


def test_fast_cells_run_under_autocast():
    made = tiny()
    supernet = made.build(SMALL, scale="search")
    weights = {c.name: torch.full((5,), 0.2, requires_grad=True) for c in made.choices}
    with torch.autocast("cpu", torch.bfloat16):
        output = supernet(torch.randn(4, 3, 8, 8), weights)
    output.logits.float().square().sum().backward()
    assert all(w.grad.isfinite().all() for w in weights.values())
    assert all(p.grad.isfinite().all() for p in supernet.parameters())


@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_none_cuts_or_passes_gradients_of_zero(execution):
    """Node 1 leads on through ``none`` alone: its convolution decays only where none multiplies by zero."""
    cell = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|none~1|skip_connect~2|"
    name = "stages.0.0.edges.node1/node0.options.nor_conv_3x3"
    found = {}
    for cut in (True, False):
        one = tiny(cut_none=cut, execution=execution)
        torch.manual_seed(0)
        network = one.build(SMALL, one.parse(cell), scale="eval")
        torch.manual_seed(1)
        logits = network(torch.randn(2, 3, 8, 8)).logits
        logits.sum().backward()
        found[cut] = logits.detach(), {n: p.grad for n, p in network.named_parameters()}
    torch.testing.assert_close(found[True][0], found[False][0], rtol=1e-5, atol=1e-6)
    for part in ("conv.weight", "norm.weight", "norm.bias"):
        assert found[True][1].pop(f"{name}.{part}") is None
        assert not found[False][1].pop(f"{name}.{part}").any()
    alive = {n: g for n, g in found[True][1].items() if g is not None}
    for other, gradient in alive.items():
        torch.testing.assert_close(gradient, found[False][1][other], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize("batch", [True, False])
def test_norms_decide_which_statistics_a_fast_cell_uses(native, batch, monkeypatch):
    """`score(batch_statistics=True)` puts the norms of a network in `eval` mode into training."""
    monkeypatch.setenv("NASFORGE_NATIVE", native)
    images = 3 * torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    losses, buffers = [], []
    for execution in ("fast", "reference"):
        torch.manual_seed(0)
        space = NasBench201(NasBench201Config(channels=8, cells=1, execution=execution))
        network = space.build(Task(3, 16, 10), space.sample(Random(2)))
        runtime = Runtime(torch.device("cpu"))
        scores = score(network, [(images, torch.arange(8))], runtime, batch_statistics=batch)
        losses.append(scores.loss)
        buffers.append({name: b.clone() for name, b in network.named_buffers() if "running" in name})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    fresh = NasBench201(NasBench201Config(channels=8, cells=1)).build(
        Task(3, 16, 10), space.sample(Random(2))
    )
    for name, value in fresh.named_buffers():
        if "running" in name:
            assert torch.equal(buffers[0][name], value)
