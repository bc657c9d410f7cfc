"""Cells of nasbench201 by the kernels in C are what the reference computes, edge by edge."""

from random import Random

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasforge.arch import Arch
from nasforge.nn import Picked
from nasforge_plugins.kernels import sum_cell as torch_way
from nasforge_plugins.kernels.door import find_kernel
from nasforge_plugins.spaces.nasbench201.network import NasBench201Cell
from nasforge_plugins.spaces.nasbench201.notation import CHOICES, OPERATIONS
from support.kernels import needs_kernels

pytestmark = needs_kernels
CLOSE = {
    torch.float32: {"rtol": 5e-4, "atol": 5e-4},
    torch.float64: {"rtol": 1e-9, "atol": 1e-10},
}


class Given:
    """A cell in two executions, its input, and everything that can be seen of one run."""

    def __init__(self, channels=5, sides=(6, 7), batch=3, code=None, affine=False, dtype=torch.float64):
        torch.manual_seed(0)
        arch = None
        if code is not None:
            picked = {c.name: (OPERATIONS[int(digit)],) for c, digit in zip(CHOICES, code, strict=True)}
            arch = Arch(picked)
        made = (NasBench201Cell(channels, arch, affine, fast, 1).to(dtype) for fast in (False, True))
        self.reference, self.ours = made
        for m in self.reference.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.2)
                m.running_var.uniform_(0.5, 2)
                if affine:
                    torch.nn.init.uniform_(m.weight, 0.5, 2)
                    torch.nn.init.normal_(m.bias, 0, 0.2)
        self.ours.load_state_dict(self.reference.state_dict())
        self.x = torch.randn(batch, channels, *sides, dtype=dtype) + 0.3
        self.x = self.x.contiguous(memory_format=torch.channels_last)

    def run(self, cell, weights=None, of_x=True):
        cell.zero_grad()
        x = self.x.clone().requires_grad_(of_x)
        out = cell(x, weights)
        if out.requires_grad:
            out.sin().sum().backward()
        seen = {"out": out.detach(), "x": x.grad}
        seen |= {f"grad {n}": p.grad for n, p in cell.named_parameters()}
        seen |= {f"buffer {n}": b.clone() for n, b in cell.named_buffers()}
        return seen

    def compare(self, make=lambda: (None, ()), **options):
        found = []
        for cell in (self.reference, self.ours):
            weights, leaves = make()
            seen = self.run(cell, weights, **options)
            found.append(seen | {f"weight {i}": leaf.grad for i, leaf in enumerate(leaves)})
        expected, ours = found
        assert expected.keys() == ours.keys()
        for name, value in expected.items():
            assert (value is None) == (ours[name] is None), name
            if value is not None:
                torch.testing.assert_close(
                    ours[name], value, **CLOSE[self.x.dtype], msg=lambda m, name=name: f"{name}: {m}"
                )


@pytest.fixture(autouse=True)
def _no_way_back(monkeypatch):
    """Nothing here is computed by torch's own norms and pools."""

    def fail(*args):
        raise AssertionError("computed without kernels")

    monkeypatch.setattr(torch_way, "_Convolutions", fail)
    monkeypatch.setattr(torch_way, "average_pool", fail)


def mixed(dtype=torch.float64, present=lambda name: True):
    def make():
        generator = torch.Generator().manual_seed(1)
        leaves = {
            c.name: torch.rand(5, generator=generator, dtype=dtype).requires_grad_()
            for c in CHOICES
            if present(c.name)
        }
        return leaves, list(leaves.values())

    return make


@pytest.mark.parametrize("sides", [(8, 8), (7, 9), (1, 2), (1, 1), (2, 1), (18, 5)])
@pytest.mark.parametrize("batch", [2, 5])
def test_sizes(sides, batch):
    Given(sides=sides, batch=batch).compare(mixed())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 4, 7, 16, 20, 36, 64])
def test_channels(channels, dtype):
    Given(channels=channels, dtype=dtype, batch=4).compare(mixed(dtype))


def test_many_images():
    Given(batch=37, sides=(4, 3)).compare(mixed())


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("which", ["all", "some", "none", "none trained", "single precision"])
def test_weights(which, training, affine):
    given = Given(affine=affine)
    given.reference.train(training)
    given.ours.train(training)
    if which == "none trained":
        for cell in (given.reference, given.ours):
            cell.requires_grad_(False)
    if which == "none":
        given.compare()
    elif which == "some":
        given.compare(mixed(present=lambda name: name.startswith("node3")))
    else:
        given.compare(mixed(torch.float32 if which == "single precision" else torch.float64))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("code", ["333333", "033002", "210431", "123412", "004012", "300100", "100000"])
def test_one_option_per_edge(code, drawn, training):
    """Nodes that lead nowhere, too: what has no part in the output has no gradient."""
    given = Given()
    given.reference.train(training)
    given.ours.train(training)

    def make():
        if not drawn:
            return {c.name: int(d) for c, d in zip(CHOICES, code, strict=True)}, ()
        leaves = [torch.tensor(0.3 + i, dtype=torch.float64, requires_grad=True) for i in range(6)]
        pairs = zip(CHOICES, code, leaves, strict=True)
        picked = {c.name: Picked(int(d), leaf) for c, d, leaf in pairs}
        # What runs nothing passes no gradient; that of the reference is zero.
        return picked, [leaf for d, leaf in zip(code, leaves, strict=True) if d != "0"]

    given.compare(make)


@pytest.mark.parametrize("affine", [True, False])
def test_networks_of_one_architecture(affine):
    rng = Random(0)
    for _ in range(12):
        Given(code="".join(rng.choices("01234", k=6)), affine=affine).compare()


def test_a_cell_before_one_that_passes_nothing_on():
    first, behind = Given(code="333333"), Given(code="123000")
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    out = behind.ours(first.ours(first.x, None), None)
    (factor * out + factor).sum().backward()
    assert not out.any()
    assert not any(p.grad is not None and p.grad.any() for p in first.ours.parameters())


def test_input_without_gradient():
    Given().compare(mixed(), of_x=False)


def test_maps_that_are_not_channels_last():
    given = Given()
    given.x = given.x.contiguous().transpose(2, 3)
    given.compare(mixed())


def test_small_spread_around_a_large_mean():
    """Their squares must not drown in it."""
    given = Given(dtype=torch.float32, code="300000", channels=3)
    kernel = given.ours.edges["node1/node0"].options["nor_conv_3x3"].conv.weight
    given.x.fill_(1000.0).add_(torch.rand(given.x.shape))
    torch.nn.init.constant_(kernel, 0)
    with torch.no_grad():
        kernel[:, :, 1, 1].fill_(1.0)
    given.ours(given.x)
    norm = given.ours.edges["node1/node0"].options["nor_conv_3x3"].norm
    exact = given.x.double().sum(1).var()
    assert norm.running_mean[0].item() == pytest.approx(300.15, rel=0.01)
    found = (
        norm.running_var - 0.9 * given.reference.edges["node1/node0"].options["nor_conv_3x3"].norm.running_var
    )
    assert found[0].item() / 0.1 == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("name", ["skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"])
def test_what_is_no_number_is_seen(name):
    given = Given(code=f"000{OPERATIONS.index(name)}00", channels=16)
    given.ours.eval()
    given.x[0, 3, 2, 2] = torch.nan
    out = given.ours(given.x)
    assert out[0].isnan().any()
    assert not out[1:].isnan().any()
    assert out[0, 3].isnan().sum().item() == {"skip_connect": 1, "nor_conv_1x1": 1}.get(name, 9)


def test_bits_do_not_depend_on_threads(monkeypatch):
    """Those of the kernels; small matrix products are torch's, which may divide them up."""
    given, threads, found = Given(channels=24, dtype=torch.float32, batch=7), torch.get_num_threads(), []
    multiply = torch.bmm

    def in_one_thread(*args, **options):
        torch.set_num_threads(1)
        try:
            return multiply(*args, **options)
        finally:
            torch.set_num_threads(count)

    monkeypatch.setattr(torch, "bmm", in_one_thread)
    start = given.ours.state_dict()
    start = {name: value.clone() for name, value in start.items()}
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            given.ours.load_state_dict(start)
            weights, _ = mixed(torch.float32)()
            found.append(given.run(given.ours, weights)["out"])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_two_runs_have_the_same_bits():
    given, found = Given(channels=24, dtype=torch.float32, batch=7), []
    for _ in range(2):
        weights, leaves = mixed(torch.float32)()
        seen = given.run(given.ours, weights)
        found.append([seen["out"], seen["x"], *(leaf.grad for leaf in leaves)])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("code", ["222222", "232323"])
def test_arithmetic_is_counted(code):
    """As torch counts the convolutions of the reference; kernels fold a norm into a 1x1 convolution."""
    given, counts = Given(code=code), []
    for cell in (given.reference, given.ours):
        cell.eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            cell(given.x)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_few_operators():
    given, seen = Given(), []

    class Listen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func._schema.name)
            return func(*args, **(kwargs or {}))

    with Listen():
        given.run(given.ours, mixed()()[0])
    expected = {"rectify": 6, "gather": 6, "dots": 3, "unnorm": 3, "winograd": 3, "winograd_backward": 3}
    assert {name: seen.count(f"nasforge::{name}") for name in expected} == expected
    assert not {"aten::convolution", "aten::convolution_backward"} & set(seen)


def test_nothing_is_computed_in_reduced_precision():
    given = Given(dtype=torch.float32)
    assert find_kernel("sum_cell", given.x)
    assert not find_kernel("sum_cell", given.x.half())
    assert not find_kernel("sum_cell", given.x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not find_kernel("sum_cell", given.x)
