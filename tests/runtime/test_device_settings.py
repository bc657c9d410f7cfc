"""Settings of a GPU, and the measured layout of depthwise convolutions; stand-ins take the GPU's place."""

import json
import os

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nasforge.nn.depthwise as depthwise_module
from nasforge.nn import convolve_depthwise
from nasforge.nn.depthwise import convolve_in_layout, lay_out_depthwise
from nasforge.recipe import RunConfig
from nasforge.runtime import Runtime
from nasforge.runtime.environment import describe_environment
from nasforge.runtime.layout import Case, choose_layout, time_layout
from nasforge.runtime.settings import DeviceSettings, describe_settings

GPU = torch.device("cuda:1")
ACCELERATOR = torch.device("xpu")  # another one than a CPU, on which nothing is computed here


@pytest.fixture
def cuda(monkeypatch):
    """Records which GPU becomes the current one, and restores torch's settings."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    kept = describe_settings()
    yield chosen
    torch.use_deterministic_algorithms(kept["deterministic"])
    torch.backends.cuda.matmul.allow_tf32 = kept["tf32"]["products"]
    torch.backends.cudnn.allow_tf32 = kept["tf32"]["convolutions"]
    torch.backends.cudnn.benchmark = kept["cudnn_benchmark"]
    torch.backends.cudnn.deterministic = False


@pytest.mark.parametrize(
    ("tf32", "products", "convolutions"), [("auto", False, True), (True, True, True), (False, False, False)]
)
def test_a_gpu_gets_the_settings_of_the_recipe(cuda, tf32, products, convolutions):
    DeviceSettings.of(RunConfig(tf32=tf32, cudnn_benchmark=True)).apply(GPU)
    assert cuda == [GPU]
    assert describe_settings() == {
        "tf32": {"products": products, "convolutions": convolutions},
        "cudnn_benchmark": True,
        "deterministic": False,
    }


def test_deterministic_operators_end_with_the_run(cuda, monkeypatch):
    DeviceSettings(deterministic=True).apply(torch.device("cuda"))
    assert cuda == []  # "cuda" is the current GPU already
    assert describe_settings()["deterministic"]
    assert torch.backends.cudnn.deterministic
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    DeviceSettings().apply(torch.device("cuda"))
    assert not describe_settings()["deterministic"]
    assert not torch.backends.cudnn.deterministic


def test_a_cpu_stays_as_it_is(cuda):
    before = describe_settings()
    DeviceSettings(tf32=True, cudnn_benchmark=True, deterministic=True).apply(torch.device("cpu"))
    assert describe_settings() == before
    assert cuda == []


def test_the_environment_has_the_settings():
    about = describe_environment(Runtime.of(RunConfig(device="cpu")), (), 0)
    assert about["tf32"] == describe_settings()["tf32"]
    assert about["cudnn_benchmark"] is False
    assert about["deterministic"] is False
    assert about["depthwise_layout"] == "channels_last"


def test_timing_is_not_deterministic():
    with pytest.raises(ValueError, match="is not deterministic"):
        RunConfig(deterministic=True, cudnn_benchmark=True)


class Timer:
    """Stands in for a GPU's clock."""

    def __init__(self, **seconds):
        self.seconds, self.calls = seconds, []

    def __call__(self, layout, device, dtype):
        self.calls.append(layout)
        return self.seconds[layout]


@pytest.fixture
def cached(monkeypatch, tmp_path):
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path))
    return tmp_path


def test_the_faster_layout_is_kept(cached):
    timer = Timer(channels_last=2.0, contiguous=1.0)
    assert choose_layout(ACCELERATOR, torch.float32, timer) == "contiguous"
    assert choose_layout(ACCELERATOR, torch.float32, Timer()) == "contiguous"  # from the cache
    assert sorted(timer.calls) == ["channels_last", "contiguous"]
    # Another type of numbers is another measurement.
    other = Timer(channels_last=1.0, contiguous=2.0)
    assert choose_layout(ACCELERATOR, torch.bfloat16, other) == "channels_last"
    assert len(list((cached / "depthwise").glob("*.json"))) == 2


def test_a_changed_entry_is_measured_anew(cached):
    choose_layout(ACCELERATOR, torch.float32, Timer(channels_last=2.0, contiguous=1.0))
    (path,) = (cached / "depthwise").glob("*.json")
    entry = json.loads(path.read_text())
    entry["layout"] = "channels_last"
    path.write_text(json.dumps(entry))
    with pytest.warns(UserWarning, match="checksum differs"):
        assert choose_layout(ACCELERATOR, torch.float32, Timer(channels_last=2.0, contiguous=1.0)) == (
            "contiguous"
        )
    path.write_text("{")
    with pytest.warns(UserWarning, match="measured anew"):
        choose_layout(ACCELERATOR, torch.float32, Timer(channels_last=2.0, contiguous=1.0))


def test_a_cpu_is_not_measured(cached):
    assert choose_layout(torch.device("cpu"), torch.float32, Timer()) == "channels_last"
    assert not list(cached.iterdir())


def test_a_layout_can_be_timed():
    state = torch.get_rng_state()
    seconds = [
        time_layout(layout, torch.device("cpu"), torch.float32, [Case(1, 4, 4, 3, 1)], rounds=1)
        for layout in ("channels_last", "contiguous")
    ]
    assert min(seconds) > 0.0
    assert torch.equal(torch.get_rng_state(), state)


def test_layouts_compute_the_same():
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(6, 1, 3, 3, dtype=torch.float64)
    expected = F.conv2d(x, weight, None, 2, 2, 2, 6)
    for layout in ("channels_last", "contiguous"):
        found = convolve_in_layout(x, weight, 2, 2, 2, layout)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def as_accelerator(monkeypatch):
    """Lets the CPU take the way of an accelerator that prefers contiguous maps."""
    monkeypatch.setattr(depthwise_module, "_contiguous", {"cpu"})


def test_the_chosen_layout_reaches_the_convolution(as_accelerator, monkeypatch):
    seen = []

    def watch(x, *args):
        seen.append(x.is_contiguous())
        return convolve(x, *args)

    convolve = F.conv2d
    monkeypatch.setattr(F, "conv2d", watch)
    x = torch.randn(2, 6, 8, 8).contiguous(memory_format=torch.channels_last)
    convolve_depthwise(x, torch.randn(6, 1, 3, 3), padding=1)
    monkeypatch.setattr(depthwise_module, "_contiguous", set())
    convolve_depthwise(x, torch.randn(6, 1, 3, 3), padding=1)
    assert seen == [True, False]


def test_modules_convert_their_maps(monkeypatch):
    monkeypatch.setattr(depthwise_module, "_contiguous", set())
    net = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 4, 1))
    net = net.to(memory_format=torch.channels_last)
    x = torch.randn(2, 6, 8, 8).contiguous(memory_format=torch.channels_last)
    expected = net(x)
    lay_out_depthwise(net, torch.device("cpu"), "contiguous")
    assert not net[0]._forward_pre_hooks
    for _ in range(2):  # a network may be prepared twice
        lay_out_depthwise(net, ACCELERATOR, "contiguous")
    assert len(net[0]._forward_pre_hooks) == 1
    assert not net[1]._forward_pre_hooks
    assert net[0].weight.stride() == (9, 9, 3, 1)
    inputs = []
    net[0].forward = lambda x, forward=net[0].forward: inputs.append(x) or forward(x)
    torch.testing.assert_close(net(x), expected)
    assert inputs[0].is_contiguous()
    assert depthwise_module._contiguous == {"xpu"}
    lay_out_depthwise(net, ACCELERATOR, "channels_last")
    assert depthwise_module._contiguous == set()


def test_the_recipe_may_name_the_layout(monkeypatch):
    measured = []
    choose = lambda *given: measured.append(given) or "contiguous"  # noqa: E731
    monkeypatch.setattr("nasforge.runtime.device.choose_layout", choose)
    runtime = Runtime(ACCELERATOR)
    find = lambda **options: runtime._find_depthwise(RunConfig(**options), runtime.shards)  # noqa: E731
    assert find(depthwise_layout="channels_last") == "channels_last"
    assert find(depthwise_layout="contiguous") == "contiguous"
    assert not measured
    assert find() == "contiguous"
    assert measured == [(ACCELERATOR, torch.float32)]
    assert Runtime(ACCELERATOR, channels_last=False)._find_depthwise(RunConfig(), runtime.shards) == (
        "channels_last"
    )
