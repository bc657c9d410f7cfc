"""Bottlenecks by the kernels in C are what their modules compute."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from nasforge.arch import Choice
from nasforge.space import Task
from nasforge_plugins.kernels.c import bottleneck_operators as bottleneck
from nasforge_plugins.kernels.c.bottleneck_function import has_kernels
from nasforge_plugins.kernels.c.bottleneck_function import narrow_in_c as narrow
from nasforge_plugins.spaces.chain.blocks import MBConv
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.mixture import MixedBlock
from nasforge_plugins.spaces.chain.plugin import nasforge_plugins
from nasforge_plugins.spaces.chain.space import ChainSpace
from support.kernels import needs_kernels

pytestmark = needs_kernels
KINDS = ((3, 2), (5, 3), (7, 2))


def make(stride=1, channels=4, dtype=torch.float64, kinds=KINDS):
    torch.manual_seed(0)
    blocks = torch.nn.ModuleList([MBConv(channels, 6, kernel, wide, stride) for kernel, wide in kinds])
    for name, tensor in (*blocks.named_parameters(), *blocks.named_buffers()):
        if "norm" in name and tensor.is_floating_point():
            torch.nn.init.uniform_(tensor, 0.5, 1.5)  # a bias that is not zero, a variance that is not one
    return blocks.to(dtype)


def image(channels=4, sides=(7, 6), dtype=torch.float64):
    x = torch.randn(3, channels, *sides, generator=torch.Generator().manual_seed(1), dtype=dtype) + 2
    return x.contiguous(memory_format=torch.channels_last)


def run(blocks, x, native, trains=True):
    blocks = copy.deepcopy(blocks).requires_grad_(trains)
    x = x.clone().requires_grad_()
    maps = narrow(blocks, x) if native else [block.narrow(x) for block in blocks]
    sum(m.sin().mul(i + 1).sum() for i, m in enumerate(maps)).backward()
    found = {f"map {i}": m.detach() for i, m in enumerate(maps)} | {"x": x.grad}
    found |= {name: p.grad for name, p in blocks.named_parameters() if "project_norm" not in name}
    return found | dict(blocks.named_buffers())


def compare(blocks, x, close, **options):
    theirs = run(blocks, x, native=False, **options)
    ours = run(blocks, x, native=True, **options)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if value is None:
            assert ours[name] is None, name
        else:
            torch.testing.assert_close(ours[name], value, **close, msg=lambda m, name=name: f"{name}: {m}")


EXACT = {"rtol": 1e-8, "atol": 1e-9}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(7, 6), (1, 2), (4, 4), (17, 9)])
def test_sizes(stride, sides):
    compare(make(stride), image(sides=sides), EXACT)


@pytest.mark.parametrize("channels", [1, 3, 8, 24, 70])
def test_channels(channels):
    compare(make(channels=channels), image(channels), EXACT)


def test_single_precision():
    blocks, x = make(channels=16, dtype=torch.float32), image(16, dtype=torch.float32)
    compare(blocks, x, {"rtol": 5e-3, "atol": 5e-3})


@pytest.mark.parametrize("stride", [1, 2])
def test_frozen_weights_have_no_gradient(stride):
    compare(make(stride), image(), EXACT, trains=False)


def test_options_whose_result_is_not_used():
    blocks, x = make(), image().requires_grad_()
    maps = narrow(blocks, x)
    maps[1].square().sum().backward()
    ours = x.grad.clone()
    x.grad = None
    blocks[1].narrow(x).square().sum().backward()
    torch.testing.assert_close(ours, x.grad, **EXACT)


def test_what_is_no_number_is_seen():
    blocks, x = make(channels=16, dtype=torch.float32), image(16, dtype=torch.float32)
    x[0, 3, 2, 2] = torch.nan
    assert all(m.isnan().any() for m in narrow(blocks, x))


def test_large_values_do_not_overflow():
    blocks, x = make(), image() * 1e4
    for block in blocks:
        torch.nn.init.constant_(block.expand_norm.weight, 1e3)
    compare(blocks, x, {"rtol": 1e-6, "atol": 1e-6})


def test_kernels_give_the_same_bits_for_any_number_of_threads():
    torch.manual_seed(0)
    a, kernel = torch.randn(19, 9, 8, 40), torch.randn(40, 1, 7, 7)
    gain, bias = torch.randn(2, 40)
    gate, threads, found = torch.rand(19, 40), torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            y, mean, variance = bottleneck.filter_map(a, kernel, 2)
            grad = bottleneck.excite(y, gain, bias, gate)
            means = bottleneck.squeeze(y, gain, bias)
            to_gate = bottleneck.unexcite(grad, y, gain, bias)
            sums = bottleneck.unsqueeze(grad, y, gain, bias, gate, means, mean)
            vectors = torch.stack([gain, mean, bias, gain])
            found.append([y, mean, variance, grad, means, to_gate, sums])
            found[-1] += bottleneck.unfilter(grad, y, a, kernel, vectors, 2, of_kernel=True)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def mixed(options=("k3e2", "k5e3"), **kinds):
    def build(option):
        return MBConv(4, 4, int(option[1]), int(option[3]), 1)

    torch.manual_seed(0)
    return MixedBlock(Choice("stage1/block0", options), build).double(**kinds)


class Listen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func._schema.name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("how", ["training", "plain", "evaluation", "autocast", "strange kernel"])
def test_who_runs_the_kernels(how):
    block, x = mixed(("k3e2", "k9e2" if how == "strange kernel" else "k5e2")), image()
    block.train(how != "evaluation")
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast")
    with Listen() as listening, autocast:
        weights = {"stage1/block0": torch.tensor([0.3, 0.7], dtype=torch.float64)}
        block(x, weights, plain=how == "plain")
    assert ("nasforge::filter" in listening.seen) == (how == "training")


def test_arithmetic_is_counted():
    block, x = mixed(), image()

    def count(native):
        blocks = list(block.options.values())
        with FlopCounterMode(display=False) as counter:
            narrow(blocks, x) if native else [b.narrow(x) for b in blocks]
        return counter.get_total_flops()

    pixels, inner = x.numel() // 4, 4 * 5
    squares = pixels * 4 * 4 + inner * 4 * 4  # of which norms are made
    assert count(True) == count(False) + 2 * squares


def test_there_are_no_kernels_without_a_compiler(monkeypatch):
    blocks = make()
    assert has_kernels(blocks, image())
    monkeypatch.setattr(bottleneck, "compiled", lambda *given: None)
    assert not has_kernels(blocks, image())


def test_other_devices_have_no_kernels():
    with torch.device("meta"):
        block, x = mixed(), torch.zeros(3, 4, 7, 6, dtype=torch.float64)
        assert block(x, {"stage1/block0": torch.ones(2, dtype=torch.float64)}).is_meta


def test_plain_supernets_compute_by_their_modules():
    space = ChainSpace(ChainConfig.model_validate(nasforge_plugins()[0].tiny))
    network = space.build(Task(3, 16, 4), scale="search")
    weights = {choice.name: torch.ones(len(choice.options)) for choice in space.choices}
    ran = []
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda module, *_: ran.append(module))
    for plain in (False, True):
        network.plain = plain
        ran.clear()
        network(torch.randn(2, 3, 16, 16), weights)
        norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
        assert (len(ran) == norms) == plain
