"""Bundles of convolutions by the kernels in C are what torch computes."""

import pytest
import torch

from nasforge_plugins.kernels.bundle import BundleForm, BundlePath, bundle
from support.kernels import needs_kernels

pytestmark = needs_kernels
CLOSE = {
    torch.float32: {"rtol": 2e-3, "atol": 2e-3},
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
}


def paths(stride):
    return {
        "supernet": ([BundlePath(stride, 1, True)] * 2 + [BundlePath(stride, 2, False)] * 2, (3, 5, 3, 5)),
        "separable": ([BundlePath(stride, 1, True)], (5,)),
        "dilated": ([BundlePath(stride, 2, False)], (3,)),
    }


class Bundle:
    """Inputs of a bundle, and everything that can be seen of one run."""

    def __init__(self, which="supernet", stride=1, channels=5, sides=(6, 7), dtype=torch.float64, groups=2):
        torch.manual_seed(0)
        self.paths, kernels = paths(stride)[which]
        kernels = [*kernels, *(k for k, path in zip(kernels, self.paths, strict=True) if path.twice)]
        self.count, self.dtype, self.groups = len(kernels) * groups, dtype, groups
        self.x = torch.randn(3, channels, *sides, dtype=dtype).contiguous(memory_format=torch.channels_last)
        per_layer = [k for k in kernels for _ in range(groups)]
        self.depthwise = [torch.randn(channels, 1, k, k, dtype=dtype) / k for k in per_layer]
        self.pointwise = [torch.randn(channels, channels, 1, 1, dtype=dtype) for _ in per_layer]
        self.scale = torch.rand(self.count, channels, dtype=dtype) + 0.5
        self.shift = torch.randn(self.count, channels, dtype=dtype)

    def run(self, *, running=False, trains=True, of_x=True):
        statistics = None
        if running:
            torch.manual_seed(1)
            mean, variance = torch.rand(2, self.count, self.x.shape[1], dtype=self.dtype)
            statistics = mean, variance + 0.5
        form = BundleForm(self.groups, tuple(self.paths), 1e-3, statistics)
        x = self.x.detach().clone().requires_grad_(of_x)
        affine = [None if t is None else t.clone().requires_grad_() for t in (self.scale, self.shift)]
        weights = [
            [w.clone().requires_grad_(trains) for w in some] for some in (self.depthwise, self.pointwise)
        ]
        out, mean, variance = bundle(form, x, *affine, *weights)
        out.sin().sum().backward()
        inputs = [x, *affine, *weights[0], *weights[1]]
        return [out.detach(), mean, variance, *(None if t is None else t.grad for t in inputs)]


def compare(given, monkeypatch, **options):
    ours = given.run(**options)
    monkeypatch.setenv("NASFORGE_NATIVE", "0")
    theirs = given.run(**options)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if other is None:
            assert one is None, number
        else:
            torch.testing.assert_close(
                one, other, **CLOSE[given.dtype], msg=lambda m, number=number: f"{number}: {m}"
            )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("which", ["supernet", "separable", "dilated"])
@pytest.mark.parametrize("sides", [(8, 8), (7, 9), (1, 2), (18, 5)])
def test_sizes(which, stride, sides, monkeypatch):
    compare(Bundle(which, stride, sides=sides), monkeypatch)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 4, 7, 16, 20, 36, 64])
def test_channels(channels, dtype, monkeypatch):
    compare(Bundle(channels=channels, dtype=dtype), monkeypatch)


@pytest.mark.parametrize("options", [{"running": True}, {"trains": False}, {"of_x": False}])
@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_asked_for(options, stride, monkeypatch):
    compare(Bundle(stride=stride), monkeypatch, **options)


@pytest.mark.parametrize("affine", ["none", "factor"])
def test_scales(affine, monkeypatch):
    given = Bundle()
    given.shift = None
    given.scale = given.scale[:, :1] if affine == "factor" else None
    compare(given, monkeypatch)


def test_maps_that_are_not_channels_last(monkeypatch):
    given = Bundle()
    given.x = given.x.contiguous().transpose(2, 3)
    compare(given, monkeypatch)


def test_what_is_no_number_is_seen():
    given = Bundle("separable", channels=16)
    given.x[0, 3, 2, 2] = torch.nan
    out, *_ = given.run(running=True)
    assert out.view(2, 3, -1)[0, 0].isnan().any()
    assert not out.view(2, 3, -1)[0, 1].isnan().any()


def test_bits_do_not_depend_on_threads():
    given, threads, found = Bundle(channels=24, dtype=torch.float32), torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(given.run())
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_one_operator_each_way():
    """Whoever counts operators sees the kernels."""
    seen = []

    class Listen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func._schema.name)
            return func(*args, **(kwargs or {}))

    with Listen():
        Bundle().run()
    assert seen.count("nasforge::bundle") == 1
    assert seen.count("nasforge::bundle_backward") == 1
