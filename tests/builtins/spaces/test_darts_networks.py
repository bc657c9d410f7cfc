"""Networks of the DARTS space: published sizes, the laws, features, drop-path, auxiliary head."""

from random import Random

import pytest
import torch
from torch import nn

from nasforge.cost import count_parameters, measure
from nasforge.nn import DropPath, copy_shared, one_hot, set_drop_path
from nasforge.space import Task
from nasforge_plugins.spaces.darts.cell import make_operation
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.tiny_darts import TINY

CIFAR = DartsSpace(DartsConfig())
IMAGENET = DartsSpace(DartsConfig(channels=48, cells=14, eval_cells=14, stem="imagenet"))
TASK = Task()
LARGE = Task(3, 224, 1000)
SCALES = ("search", "eval", "final")


def meta(space, task, arch=None, scale="final"):
    with torch.device("meta"):
        return space.build(task, arch, scale)


def randomise(net):
    """Give batch norms something to do, also in eval mode."""
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.2)
            m.running_var.uniform_(0.5, 2)
            if m.affine:
                with torch.no_grad():
                    m.weight.uniform_(0.5, 2)
                    m.bias.normal_(0, 0.2)
    return net


@pytest.mark.parametrize(
    ("op", "plain", "strided", "affine"),
    [
        ("none", 0, 0, 0),
        ("max_pool_3x3", 0, 0, 0),
        ("avg_pool_3x3", 0, 0, 0),
        ("skip_connect", 0, 256, 1368),
        ("sep_conv_3x3", 800, 800, 3384),
        ("sep_conv_5x5", 1312, 1312, 4536),
        ("dil_conv_3x3", 400, 400, 1692),
        ("dil_conv_5x5", 656, 656, 2268),
    ],
)
def test_operation_sizes(op, plain, strided, affine):
    assert count_parameters(make_operation(op, 16, 1, False, False)) == plain
    assert count_parameters(make_operation(op, 16, 2, False, False)) == strided
    assert count_parameters(make_operation(op, 36, 2, True, False)) == affine
    for side in (7, 8):
        made = make_operation(op, 4, 2, False, True)(torch.randn(2, 4, side, side))
        assert made.shape == (2, 4, 4, 4)


@pytest.mark.parametrize(
    ("name", "params10", "params100", "macs"),
    [
        ("DARTS_V1", 3_169_414, 3_221_344, 500_987_520),
        ("DARTS_V2", 3_349_342, 3_401_272, 528_359_040),
        ("PC_DARTS_cifar", 3_634_678, 3_686_608, 556_670_592),
        ("CDARTS_cifar", 3_859_318, 3_911_248, 590_069_376),
    ],
)
def test_cifar_sizes(name, params10, params100, macs):
    cost = measure(meta(CIFAR, TASK, CIFAR.parse(name)), TASK)
    assert (cost.params, cost.macs) == (params10, macs)
    assert count_parameters(meta(CIFAR, Task(num_classes=100), CIFAR.parse(name))) == params100


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("DARTS_V2", 4_718_752, 529_911_552),
        ("PC_DARTS_cifar", 5_270_560, 571_137_408),
        ("CDARTS_imagenet", 6_360_256, 712_944_192),
    ],
)
def test_imagenet_sizes(name, params, macs):
    cost = measure(meta(IMAGENET, LARGE, IMAGENET.parse(name)), LARGE)
    assert (cost.params, cost.macs) == (params, macs)


def test_auxiliary_sizes():
    for space, task, params in (
        (CIFAR, TASK, 476_426),
        (CIFAR, Task(num_classes=100), 545_636),
        (IMAGENET, LARGE, 1_260_776),
    ):
        head, feature = space.build_auxiliary(task)
        assert count_parameters(head) == params
        assert feature == 1


def test_search_time_sizes():
    net = meta(CIFAR, TASK, scale="search")
    assert [count_parameters(m) for m in (net.stem, net.cells, net.classifier)] == [1_392, 1_926_656, 2_570]
    assert count_parameters(net) == 1_930_618
    assert count_parameters(meta(CIFAR, TASK, scale="eval").cells) == 4_544_768
    for name, params in (("CDARTS_cifar", 801_344), ("CDARTS_imagenet", 1_007_968)):
        assert count_parameters(meta(CIFAR, TASK, CIFAR.parse(name), "eval").cells) == params
    net = meta(IMAGENET, LARGE, scale="search")
    assert [count_parameters(m) for m in (net.stem, net.cells, net.classifier)] == [3_752, 1_925_120, 257_000]
    assert count_parameters(meta(IMAGENET, LARGE, scale="eval").cells) == 3_234_176


def test_stages_end_where_the_heads_of_cdarts_look():
    for scale in ("search", "eval"):
        net = meta(CIFAR, TASK, scale=scale)
        assert net.feature_info == ((128, 2), (256, 4), (256, 4))
    assert meta(IMAGENET, LARGE, scale="search").feature_info == ((128, 16), (256, 32), (256, 32))
    assert meta(CIFAR, TASK).taps == (6, 13, 19)
    assert meta(IMAGENET, LARGE).taps == (4, 9, 13)
    assert meta(CIFAR, TASK, scale="search").taps == (2, 5, 7)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_laws(stem, scale, execution):
    torch.manual_seed(0)
    space = DartsSpace(DartsConfig(**TINY, stem=stem, execution=execution))
    task = Task(2, 20, 3)
    supernet = randomise(space.build(task, scale=scale).double()).eval()
    x = torch.randn(2, 2, 20, 20, dtype=torch.float64)
    for seed in range(2):
        arch = space.sample(Random(seed))
        net = space.build(task, arch, scale).double().eval()
        assert set(net.state_dict()) < set(supernet.state_dict())
        copy_shared(net, supernet)
        ours, theirs = net(x), supernet(x, one_hot(space.choices, arch, dtype=torch.float64))
        torch.testing.assert_close(ours.logits, theirs.logits)
        for mine, feature, info in zip(ours.features, theirs.features, net.feature_info, strict=True):
            torch.testing.assert_close(mine, feature)
            assert feature.shape[1] == info.channels
            assert feature.shape[2] == -(-20 // info.stride)


@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_one_path_by_index_is_one_path_by_weight(execution):
    space = DartsSpace(DartsConfig(**TINY, execution=execution))
    supernet = space.build(TASK, scale="search").double().eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    picks = {c.name: i % len(c.options) for i, c in enumerate(space.choices) if c.kind == "op"}
    weights = {c.name: torch.eye(8, dtype=torch.float64)[picks[c.name]] for c in space.choices if c.k == 1}
    torch.testing.assert_close(supernet(x, picks).logits, supernet(x, weights).logits)


@pytest.mark.parametrize("execution", ["fast", "reference"])
@pytest.mark.parametrize("pool_batch_norm", [False, True])
def test_every_choice_gets_a_gradient(execution, pool_batch_norm):
    space = DartsSpace(DartsConfig(**TINY, execution=execution, pool_batch_norm=pool_batch_norm))
    net = space.build(Task(3, 16, 4), scale="search")
    weights = {c.name: torch.rand(len(c.options), requires_grad=True) for c in space.choices}
    net(torch.randn(2, 3, 16, 16), weights).logits.square().sum().backward()
    for choice in space.choices:
        grad = weights[choice.name].grad
        assert grad is not None, choice.name
        assert grad.isfinite().all(), choice.name
        moved = {o for o, g in zip(choice.options, grad.tolist(), strict=True) if g != 0.0}
        assert moved == set(choice.options) - {"none"}, choice.name


def test_pool_batch_norm_is_for_the_search_network_only():
    space = DartsSpace(DartsConfig(**TINY, pool_batch_norm=True))

    def norms(scale):
        return sum(isinstance(m, nn.BatchNorm2d) for m in space.build(TASK, scale=scale).modules())

    plain = DartsSpace(DartsConfig(**TINY)).build(TASK, scale="search")
    assert norms("search") == sum(isinstance(m, nn.BatchNorm2d) for m in plain.modules()) + 3 * 28
    assert norms("eval") == norms("final")


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("size", [16, 28, 33, 64])
def test_any_image_size(stem, size):
    space = DartsSpace(DartsConfig(**TINY, stem=stem))
    task = Task(1, size, 5)
    net = space.build(task, space.parse("PC_DARTS")).eval()
    out = net(torch.randn(2, 1, size, size))
    assert out.logits.shape == (2, 5)
    assert [f.shape[-1] for f in out.features] == [-(-size // info.stride) for info in net.feature_info]
    head, feature = space.build_auxiliary(task)
    assert head.eval()(out.features[feature]).shape == (2, 5)


@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_drop_path_spares_identities(execution):
    space = DartsSpace(DartsConfig(**TINY, execution=execution))
    net = space.build(TASK, space.parse("DARTS_V2"))
    kinds = {"normal": 0, "reduce": 0}
    for cell in net.cells:
        kinds[cell.plan.kind] += sum(isinstance(m, DropPath) for m in cell.modules())
    assert kinds == {"normal": 2 * 6, "reduce": 2 * 5}  # two of the normal skips, three of the reduction's
    x = torch.randn(4, 3, 16, 16)
    torch.manual_seed(0)
    plain = net(x).logits
    set_drop_path(net, 0.5)
    torch.manual_seed(0)
    dropped = net(x).logits
    assert not torch.allclose(plain, dropped)
    torch.manual_seed(0)
    torch.testing.assert_close(net(x).logits, dropped)
    net.eval()
    torch.testing.assert_close(net(x).logits, net(x).logits, rtol=0, atol=0)
    assert not any(isinstance(m, DropPath) for m in space.build(TASK).modules())


def test_same_seed_builds_the_same_network():
    arch = CIFAR.parse("DARTS_V1")
    swapped = CIFAR.parse("DARTS_V1")
    states = []
    for a in (arch, swapped):
        torch.manual_seed(3)
        states.append(DartsSpace(DartsConfig(**TINY)).build(TASK, a).state_dict())
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
