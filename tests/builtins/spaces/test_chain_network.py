"""Networks of the chain space: shapes, the laws, and the fast execution against the reference."""

from random import Random

import pytest
import torch

from nasforge.nn import ArchParameters, copy_shared, one_hot, set_drop_path, tie
from nasforge.space import Task
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.plugin import nasforge_plugins
from nasforge_plugins.spaces.chain.space import ChainSpace

TASK = Task(3, 16, 4)
SCALES = ("search", "eval", "final")
TINY = dict(nasforge_plugins()[0].tiny)


def chain(**options: object) -> ChainSpace:
    return ChainSpace(ChainConfig.model_validate({**TINY, **options}))


def images(batch: int = 4, size: int = 16) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_network_is_part_of_its_supernet(scale, execution):
    space, rng = chain(execution=execution), Random(0)
    torch.manual_seed(0)
    supernet = space.build(TASK, scale=scale).double()
    supernet(images(8))  # running statistics that are not the initial ones
    supernet.eval()
    for _ in range(4):
        arch = space.sample(rng)
        network = space.build(TASK, arch, scale).double().eval()
        assert set(network.state_dict()) <= set(supernet.state_dict())
        copy_shared(network, supernet)
        ours = network(images())
        theirs = supernet(images(), one_hot(space.choices, arch, dtype=torch.float64))
        torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-9, atol=1e-12)
        path = {c.name: c.options.index(arch[c.name][0]) for c in space.choices}
        torch.testing.assert_close(ours.logits, supernet(images(), path).logits, rtol=1e-9, atol=1e-12)
        for feature, info in zip(ours.features, network.feature_info, strict=True):
            assert feature.shape == (4, info.channels, 16 // info.stride, 16 // info.stride)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"kernels": [3, 5, 7], "expansions": [4, 6], "variable_depth": False}]
)
def test_fast_execution_equals_the_reference(training, weighted, options):
    outcomes = []
    for execution in ("reference", "fast"):
        torch.manual_seed(0)
        space = chain(execution=execution, **options)
        net = space.build(TASK, scale="search").double()
        alpha = ArchParameters(space.choices, std=0.5).double()
        net(images(6))
        net.train(training).zero_grad()
        weights = {n: logits.softmax(0) for n, logits in alpha.logits.items()} if weighted else None
        out = net(images(), weights)
        (out.logits.square().sum() + sum(f.square().mean() for f in out.features)).backward()
        outcomes.append(
            {
                "logits": out.logits,
                **{f"feature {i}": f for i, f in enumerate(out.features)},
                **{f"gradient {n}": p.grad for n, p in net.named_parameters()},
                **{f"buffer {n}": b for n, b in net.named_buffers()},
                **({f"alpha {n}": p.grad for n, p in alpha.logits.items()} if weighted else {}),
            }
        )
    reference, fast = outcomes
    assert reference.keys() == fast.keys()
    for name, value in reference.items():
        torch.testing.assert_close(
            fast[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_drop_path_draws_the_same_masks_in_both_executions():
    logits = []
    for execution in ("reference", "fast"):
        torch.manual_seed(0)
        net = chain(execution=execution).build(TASK).double()
        set_drop_path(net, 0.5)
        torch.manual_seed(1)
        logits.append(net(images()).logits)
    assert torch.equal(*logits)


def test_drop_path_acts_on_residual_branches_while_training():
    space = chain(dropout=0.0)
    torch.manual_seed(0)
    net = space.build(TASK, space.sample(Random(0)))
    x = images().float()
    plain = net(x).logits
    set_drop_path(net, 0.5)
    assert not torch.equal(net(x).logits, plain)
    net.eval()
    assert torch.equal(net(x).logits, net(x).logits)


def test_dropout_belongs_to_the_final_network():
    space = chain(dropout=0.5)
    x = images().float()
    for scale in SCALES:
        net = space.build(TASK, space.sample(Random(0)), scale)
        assert torch.equal(net(x).logits, net(x).logits) == (scale != "final")


def test_every_choice_gets_a_gradient():
    space = chain()
    torch.manual_seed(0)
    alpha = ArchParameters(space.choices, std=0.1)
    space.build(TASK, scale="search")(images().float(), alpha.weights()).logits.square().sum().backward()
    for name, logits in alpha.logits.items():
        assert logits.grad is not None, name
        assert logits.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("layout", "strides"), [("imagenet", (4, 8, 16, 16, 32)), ("cifar", (1, 2, 4, 4, 8))]
)
def test_layouts_halve_where_they_say(layout, strides):
    space = chain(layout=layout)
    with torch.device("meta"):
        net = space.build(Task(3, 64, 10))
        out = net(torch.zeros(2, 3, 64, 64))
    assert tuple(info.stride for info in net.feature_info) == strides
    assert tuple(64 // f.shape[2] for f in out.features) == strides


def test_features_may_be_limited_to_some_stages():
    net = chain(feature_stages=[3, 5]).build(TASK)
    assert [tuple(info) for info in net.feature_info] == [(8, 4), (16, 8)]
    assert len(net(images().float()).features) == 2


def test_search_networks_may_be_thinner_and_still_share_the_stem():
    space = chain(search_width=0.5, eval_width=2.0, widths=[16, 16, 16, 32, 32])
    channels = {s: [i.channels for i in space.build(TASK, scale=s).feature_info] for s in SCALES}
    assert channels == {
        "search": [8, 8, 8, 16, 16],
        "eval": [32, 32, 32, 64, 64],
        "final": [16, 16, 16, 32, 32],
    }
    search, other = space.build(TASK, scale="search"), space.build(TASK, space.sample(Random(0)), "eval")
    tie(other, search, space.tied)
    assert other.get_submodule("stem") is search.get_submodule("stem")
    other(images().float())


def test_one_channel_images_and_other_class_counts():
    net = chain().build(Task(1, 8, 7))
    assert net(torch.zeros(2, 1, 8, 8)).logits.shape == (2, 7)


@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_half_precision_runs(execution):
    space = chain(execution=execution)
    net, alpha = space.build(TASK, scale="search"), ArchParameters(space.choices)
    with torch.autocast("cpu", torch.bfloat16):
        loss = net(images().float(), alpha.weights()).logits.float().square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in alpha.parameters())
