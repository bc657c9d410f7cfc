"""Networks of the model space: equal to their original, with the weights that are left."""

from random import Random

import pytest
import torch
from torch import nn
from torchvision import models

from nasforge.arch import Arch
from nasforge.cost import measure_arch
from nasforge.cost.itemize import count_options
from nasforge.nn import copy_shared, one_hot
from nasforge.space import Task
from nasforge_plugins.spaces.model.config import ModelConfig
from nasforge_plugins.spaces.model.layers import ScaleGate
from nasforge_plugins.spaces.model.plan import InnerWidth
from nasforge_plugins.spaces.model.plugin import nasforge_plugins
from nasforge_plugins.spaces.model.sample import SmallResNet
from nasforge_plugins.spaces.model.slicing import narrow, narrowed_size, resize_kernel
from nasforge_plugins.spaces.model.space import ModelSpace

TINY = dict(nasforge_plugins()[0].tiny)
TASK = Task(3, 8, 10)


def space(**options: object) -> ModelSpace:
    return ModelSpace(ModelConfig.model_validate({**TINY, **options}))


def torchvision(name: str, **options: object) -> ModelSpace:
    settings = {"model": f"torchvision:{name}", "arguments": {"num_classes": 10}, "image_size": 32}
    return ModelSpace(ModelConfig.model_validate({**settings, **options}))


def images(batch: int = 2, size: int = 8) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "training"),
    [("resnet18", True), ("resnet50", False), ("mobilenet_v2", False), ("mobilenet_v3_small", True)],
)
def test_the_original_computes_the_same_to_the_bit(name, training):
    every = ("drop", "width", "kernel", "activation", "gate")
    made = torchvision(name, options=every, seed=5)
    torch.manual_seed(5)
    expected = models.get_model(name, num_classes=10).train(training)
    network = made.build(made.reference_task, made.parse("original")).train(training)
    x = images(2, 32)
    with torch.no_grad():
        torch.manual_seed(0)
        theirs = expected(x)
        torch.manual_seed(0)
        assert torch.equal(network(x).logits, theirs)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in expected.parameters())


def test_costs_of_the_original_are_those_of_the_published_network():
    made = torchvision("resnet18", arguments={}, image_size=224)
    cost = measure_arch(made, made.reference_task, made.baseline)
    assert (cost.params, cost.macs) == (11_689_512, 1_814_073_344)  # torchvision's own table: 11.69 M, 1.81 G


@pytest.mark.parametrize("scale", ["search", "eval", "final"])
def test_gradient_searches_can_mix_all_options(scale):
    made, rng = space(), Random(0)
    supernet = made.build(TASK, scale=scale).double()
    x = images().double()
    supernet(x)
    supernet.eval()
    for _ in range(5):
        arch = made.sample(rng)
        network = made.build(TASK, arch, scale).double().eval()
        copy_shared(network, supernet)
        torch.testing.assert_close(
            supernet(x, one_hot(made.choices, arch, dtype=torch.float64)).logits,
            network(x).logits,
            rtol=1e-9,
            atol=1e-12,
        )


def test_costs_add_up_over_options():
    made, rng = space(), Random(1)
    table = count_options(made, TASK)
    for _ in range(8):
        arch = made.sample(rng)
        cost = measure_arch(made, TASK, arch)
        assert table.of(arch) == {"params": cost.params, "macs": cost.macs}


def test_a_narrow_block_computes_with_the_channels_that_are_left():
    made = space()
    full = SmallResNet(**TINY["arguments"])
    network = made.build(TASK, made.parse("stage1/0=w50"))
    block = network.model.stage1[0].body.options["w50"].block
    conv1, conv2 = block.conv1.options["k3"], block.conv2.options["k3"]
    original = made._original.model.stage1[0]
    # Independent of the code: rank channels by numpy.
    sums = original.conv1.weight.detach().abs().numpy().sum(axis=(1, 2, 3))
    kept = sorted(range(4), key=lambda i: -sums[i])[:2]
    kept.sort()
    assert torch.equal(conv1.weight, original.conv1.weight[kept])
    assert torch.equal(conv2.weight, original.conv2.weight[:, kept])
    assert (conv1.out_channels, block.norm1.num_features, conv2.in_channels) == (2, 2, 2)
    assert conv2.out_channels == full.stage1[0].conv2.out_channels


def test_channels_that_compute_nothing_are_lost_without_a_trace():
    """With half of the inner channels at zero, half of the width computes what the whole block does."""
    made = space()
    block = made._original.model.stage2[1]
    with torch.no_grad():
        for i in (0, 3, 5, 6):
            block.conv1.weight[i] = 0.0
            block.norm1.bias[i] = 0.0
    x = images()
    whole, half = (made.build(TASK, made.parse(t)).eval() for t in ("original", "stage2/1=w50"))
    torch.testing.assert_close(half(x).logits, whole(x).logits)


def test_a_larger_kernel_begins_as_the_smaller_one_and_a_smaller_one_as_its_middle():
    conv = nn.Conv2d(4, 6, 3, 2, 2, dilation=2)
    x = images(size=9)[:, :1].expand(-1, 4, -1, -1)
    torch.testing.assert_close(resize_kernel(conv, 5)(x), conv(x))
    small = resize_kernel(conv, 1)
    assert torch.equal(small.weight[:, :, 0, 0], conv.weight[:, :, 1, 1])
    assert small(x).shape == conv(x).shape


def test_a_gate_begins_as_the_identity():
    x = images()
    assert torch.equal(ScaleGate(3)(x), x)
    made = space()
    plain, gated = (made.build(TASK, made.parse(t)).eval() for t in ("original", "stage1/0/gate=se"))
    torch.testing.assert_close(gated(x).logits, plain(x).logits)


def test_a_dropped_block_is_passed_by():
    made, x = space(), images()
    network = made.build(TASK, made.parse("stage1/0=drop")).eval()
    model = made._original.model.eval()
    y = model.stage2(model.stage1[1](model.stem(x))).mean((2, 3))
    assert torch.equal(network(x).logits, model.fc(y))


@pytest.mark.parametrize(("percent", "divisor", "multiple", "left"), [
    (50, 8, 1, 32), (75, 8, 1, 48), (1, 8, 1, 8), (99, 8, 1, 64), (30, 1, 1, 19), (50, 8, 12, 24),
])  # fmt: skip
def test_widths_are_multiples(percent, divisor, multiple, left):
    assert narrowed_size(InnerWidth(("a",), (), ("b",), 64, multiple), percent, divisor) == left


def test_depthwise_convolutions_and_gates_are_narrowed_with_their_block():
    made = torchvision("mobilenet_v3_small", options=("width",), widths=(50,))
    block = next(b for b in made._original.blocks if b.plan.path == "features.4")
    (inner,) = block.plan.inner
    assert len(inner.producers) == 2, "the convolution that widens, and the last one of the gate"
    assert len(inner.consumers) == 2, "the convolution that narrows, and the first one of the gate"
    network = made.build(made.reference_task, made.parse("features/4=w50"))
    form = network.model.features[4].body.options["w50"].block
    depthwise = [m for m in form.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert [m.groups for m in depthwise] == [48]
    assert network(images(2, 32)).logits.shape == (2, 10)


def test_group_norms_keep_their_groups():
    block = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(4, 8), nn.Conv2d(8, 3, 1))
    inner = InnerWidth(("0",), ("1",), ("2",), 8, 4)
    narrow(block, inner, narrowed_size(inner, 60, 1))
    assert block[1].num_channels == 4
    assert block(images()).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("task", [Task(1, 8, 10), Task(6, 8, 10), Task(3, 8, 7)])
def test_other_images_and_classes_get_another_first_or_last_layer(task):
    made = space()
    network = made.build(task, made.baseline).eval()
    x = torch.randn(2, task.in_channels, 8, 8)
    assert network(x).logits.shape == (2, task.num_classes)
    if task.in_channels == 1:
        # A gray image is a colour image of three equal channels.
        stem = made._original.model.stem[0]
        torch.testing.assert_close(network.model.stem[0](x), stem(x.expand(-1, 3, -1, -1)))


def test_weights_do_not_depend_on_the_state_of_torch():
    torch.manual_seed(1)
    first = space().build(TASK, None).state_dict()
    torch.manual_seed(2)
    second = space().build(TASK, None).state_dict()
    gates = [name for name in first if ".gate." in name]
    assert gates
    assert all(torch.equal(first[name], second[name]) for name in first if name not in gates)


def test_dropped_blocks_have_one_answer():
    made = space()
    arch = Arch({**made.baseline, "stage1/0": "drop", "stage1/0/conv1/kernel": "k1"})
    assert made.canonical(arch) == made.parse("stage1/0=drop")
    small = space(options=("drop", "kernel"), arguments={"channels": 4, "blocks": 2}, include=("stage1.*",))
    assert small.size() == 25 == sum(1 for _ in small.enumerate())
