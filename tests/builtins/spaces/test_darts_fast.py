"""Fast execution is the reference's mathematics: outputs, all gradients, running statistics."""

from random import Random

import pytest
import torch
from torch import nn

from nasforge.nn import set_drop_path
from nasforge.space import Task
from nasforge_plugins.spaces.darts import network
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.kernels import HAS_KERNELS
from support.tiny_darts import TINY


@pytest.fixture(autouse=True, params=["native", "torch", "few operators"])
def kernels(request, monkeypatch):
    """With the kernels in C, without, and as on a GPU."""
    if request.param == "torch":
        monkeypatch.setenv("NASFORGE_NATIVE", "0")
    elif request.param == "few operators":
        monkeypatch.setattr(network, "is_launch_bound", lambda x: True)
    elif not HAS_KERNELS:
        pytest.skip("there are no kernels in C here")


def spaces(**options):
    options = TINY | options
    return [DartsSpace(DartsConfig(**options, execution=e)) for e in ("reference", "fast")]


def pair(task, arch=None, scale="search", **options):
    """The same network twice, with batch norms that are not at rest."""
    torch.manual_seed(0)
    reference, fast = (s.build(task, arch, scale).double() for s in spaces(**options))
    for m in reference.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.2)
            m.running_var.uniform_(0.5, 2)
            if m.affine:
                nn.init.uniform_(m.weight, 0.5, 2)
                nn.init.normal_(m.bias, 0, 0.2)
    fast.load_state_dict(reference.state_dict())
    return reference, fast


def option_weights(space, present=lambda name: True):
    generator = torch.Generator().manual_seed(1)
    return {
        c.name: torch.rand(len(c.options), generator=generator, dtype=torch.float64).requires_grad_()
        for c in space.choices
        if present(c.name)
    }


def run(net, x, weights, seed=0):
    """Everything a step can see of a network."""
    torch.manual_seed(seed)
    x = x.clone().requires_grad_()
    out = net(x, weights)
    loss = out.logits.square().sum() + sum(f.sin().mean() for f in out.features)
    loss.backward()
    seen = {"logits": out.logits, "x": x.grad}
    seen |= {f"feature{i}": f for i, f in enumerate(out.features)}
    seen |= {f"grad {n}": p.grad for n, p in net.named_parameters()}
    seen |= {f"buffer {n}": b for n, b in net.named_buffers()}
    seen |= {f"weight {n}": w.grad for n, w in (weights or {}).items() if isinstance(w, torch.Tensor)}
    return seen


def assert_equal(reference, fast):
    assert reference.keys() == fast.keys()
    for name, expected in reference.items():
        if expected is None:
            assert fast[name] is None, name
        else:
            torch.testing.assert_close(
                fast[name], expected, rtol=1e-8, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}"
            )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("scale", "size", "options"),
    [
        ("search", 16, {}),
        ("search", 20, {"search_channels": 6, "pool_batch_norm": True}),
        ("search", 19, {"pool_batch_norm": True}),
        ("search", 32, {"stem": "imagenet"}),
        ("eval", 16, {}),
        ("final", 20, {}),
    ],
)
def test_supernet(scale, size, options, training):
    task = Task(3, size, 5)
    reference, fast = (net.train(training) for net in pair(task, None, scale, **options))
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    results = [run(net, x, option_weights(spaces()[0])) for net in (reference, fast)]
    assert_equal(*results)


@pytest.mark.parametrize("present", ["nothing", "op", "edge", "some"])
def test_missing_weights_are_ones(present):
    task = Task(3, 16, 5)
    keep = {
        "nothing": lambda name: False,
        "op": lambda name: not name.endswith("inputs"),
        "edge": lambda name: name.endswith("inputs"),
        "some": lambda name: "node2" not in name and "in0" not in name,
    }[present]
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert_equal(*(run(net, x, option_weights(spaces()[0], keep)) for net in pair(task)))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("size", [16, 22])
@pytest.mark.parametrize("scale", ["eval", "final"])
def test_network(scale, size, training):
    task = Task(3, size, 5)
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    for seed in range(2):
        arch = spaces()[0].sample(Random(seed))
        reference, fast = (net.train(training) for net in pair(task, arch, scale))
        for net in (reference, fast):
            set_drop_path(net, 0.3)
        assert_equal(run(reference, x, None), run(fast, x, None))


def test_single_options_by_index():
    task = Task(3, 16, 5)
    space = spaces()[0]
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    for shift in range(3):
        picks = {c.name: (i + shift) % len(c.options) for i, c in enumerate(space.choices) if c.k == 1}
        reference, fast = pair(task, pool_batch_norm=True)
        assert_equal(run(reference, x, picks), run(fast, x, picks))


@pytest.mark.parametrize("arch", [None, "CDARTS"])
def test_frozen_weights_get_no_gradient(arch):
    task = Task(3, 16, 5)
    space = spaces()[0]
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    nets = pair(task, arch and space.parse(arch))
    for net in nets:
        net.cells.requires_grad_(False)
    weights = [option_weights(space) for _ in nets]
    reference, fast = (run(net, x, w) for net, w in zip(nets, weights, strict=True))
    assert_equal(reference, fast)
    assert fast["grad stem.conv.weight"] is not None
    assert all(g is None for n, g in fast.items() if n.startswith("grad cells"))
    assert arch or all(w.grad is not None for w in weights[1].values())


def test_fixed_option_weights_get_no_gradient():
    weights = {n: w.detach() for n, w in option_weights(spaces()[0]).items()}
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert_equal(*(run(net, x, weights) for net in pair(Task(3, 16, 5))))


def test_single_precision_is_as_good_as_the_reference():
    task = Task(3, 32, 5)
    exact, _ = pair(task)
    x = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    weights = option_weights(spaces()[0])
    weights = {n: w.detach() for n, w in weights.items()}
    truth = exact(x, weights).logits.detach()
    single = {n: w.float() for n, w in weights.items()}
    errors = [
        float((net.float()(x.float(), single).logits.detach() - truth).abs().max()) for net in pair(task)
    ]
    assert errors[1] < 4 * errors[0] + 1e-6
