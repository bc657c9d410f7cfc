from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.distiller import Distiller
from nasforge.nn import FeatureInfo, Output
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.training.optim import frozen, gradients, load_gradients, match_layout
from nasforge.training.twin import Twin
from support.twin_world import TASK, TinySpace

FIRST = Arch({"inputs": ("in0", "in1"), "op/in0": "conv", "op/in1": "pool", "op/in2": "none"})
SECOND = Arch({"inputs": ("in0", "in2"), "op/in0": "conv", "op/in1": "none", "op/in2": "conv"})
CONV = "cells.0.node.edges.in0.options.conv.1.weight"


class Offset(Distiller[PluginConfig]):
    def bind(self, student: tuple[FeatureInfo, ...], teacher: tuple[FeatureInfo, ...], task: Task) -> None:
        self.shift = nn.Parameter(torch.ones(task.num_classes))

    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        return mse_loss(student.logits + self.shift, teacher.logits)


def make(distiller: Distiller | None = None, runtime: Runtime | None = None, space=None, **options) -> Twin:
    torch.manual_seed(0)
    runtime = runtime or Runtime.create("cpu")
    space = space or TinySpace(PluginConfig())
    search_net = runtime.prepare(space.build(TASK, scale="search"))
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    return Twin(space, TASK, runtime, search_net, sgd, distiller, **options)


def train(twin: Twin, steps: int = 1) -> None:
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        loss = twin.loss(torch.randn(4, 3, 8, 8, generator=generator), torch.tensor([0, 1, 2, 0]))
        twin.optimizer.zero_grad()
        loss.task.backward()
        twin.optimizer.step()


@pytest.mark.parametrize("inherit", [True, False])
def test_networks_inherit_what_earlier_ones_learned(inherit):
    twin = make(inherit=inherit)
    twin.rebuild(FIRST)
    train(twin)
    learned = twin.network.get_parameter(CONV).detach().clone()
    twin.remember()
    twin.rebuild(SECOND)
    assert torch.equal(twin.network.get_parameter(CONV), learned) is inherit


def test_nothing_is_inherited_that_was_not_remembered():
    twin = make()
    twin.rebuild(FIRST)
    first = twin.network.get_parameter(CONV).detach().clone()
    train(twin)
    twin.rebuild(FIRST)
    assert torch.equal(twin.network.get_parameter(CONV), first)


def test_skipped_names_stay_out_of_the_bank():
    twin = make(skip=lambda network, arch: ["cells.0."])
    twin.rebuild(FIRST)
    train(twin)
    twin.remember()
    bank, network = twin.bank.state_dict(), twin.network.state_dict()
    assert not torch.equal(bank[CONV], network[CONV])
    other = CONV.replace("cells.0", "cells.1")
    assert torch.equal(bank[other], network[other])


def test_tied_submodules_are_trained_by_the_twin_and_the_rest_is_not():
    twin = make(Offset(PluginConfig()))
    twin.rebuild(FIRST)
    own = {id(p) for p in twin.parameters()}
    assert twin.network.stem is twin._search_net.stem
    assert all(id(p) in own for p in twin._search_net.stem.parameters())
    assert id(twin.distiller.shift) in own
    resting = {id(p) for p in twin.find_untrained()}
    everything = {id(p) for p in twin._search_net.parameters()}
    assert resting == everything - own
    assert len(twin.parameters()) == len(own)


def test_submodules_of_other_shapes_are_not_tied():
    class Wider(TinySpace):
        def build(self, task, arch=None, scale="final"):
            network = super().build(task, arch, scale)
            if scale == "search":
                network.stem[0] = nn.Conv2d(3, 4, 5, padding=2, bias=False)
            return network

    twin = make(space=Wider(PluginConfig()))
    twin.rebuild(FIRST)
    assert twin.network.stem is not twin._search_net.stem
    train(twin)


def test_a_stem_of_its_own_is_remembered_and_leaves_the_search_network_alone():
    twin = make(share=False)
    twin.rebuild(FIRST)
    searched = {name: t.clone() for name, t in twin._search_net.state_dict().items()}
    train(twin)
    learned = twin.network.stem[0].weight.detach().clone()
    assert all(torch.equal(t, searched[name]) for name, t in twin._search_net.state_dict().items())
    twin.remember()
    twin.rebuild(SECOND)
    assert torch.equal(twin.network.stem[0].weight, learned)


@pytest.mark.parametrize("renew", [True, False])
def test_momentum_is_carried_over_by_name_if_asked(renew):
    twin = make(renew_optimizer=renew)
    twin.rebuild(FIRST)
    train(twin, 2)
    before = twin.optimizer.state[twin.network.get_parameter(CONV)]["momentum_buffer"].clone()
    twin.remember()
    twin.rebuild(SECOND)
    state = twin.optimizer.state[twin.network.get_parameter(CONV)]
    assert (state == {}) is renew
    if not renew:
        assert torch.equal(state["momentum_buffer"], before)
        fresh = twin.network.get_parameter("cells.0.node.edges.in2.options.conv.1.weight")
        assert not twin.optimizer.state[fresh]


def test_loss_compares_with_the_student_and_teaches_the_distiller():
    twin = make(Offset(PluginConfig()))
    twin.rebuild(FIRST)
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    student = twin._search_net(images)
    task, distill, output = twin.loss(images, labels, student)
    assert distill.item() == pytest.approx(mse_loss(student.logits + 1, output.logits).item(), rel=1e-5)
    assert task.item() > 0
    assert twin.loss(images, labels).distill.item() == 0.0
    distill.backward()
    assert twin.distiller.shift.grad.abs().sum() > 0


def test_losses_are_float32_under_autocast():
    runtime = Runtime.create("cpu", "bf16")
    twin = make(Offset(PluginConfig()), runtime)
    twin.rebuild(FIRST)
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    with runtime.autocast():
        student = twin._search_net(images)
    loss = twin.loss(images, labels, student)
    assert loss.output.logits.dtype == torch.bfloat16
    assert {loss.task.dtype, loss.distill.dtype} == {torch.float32}


@pytest.mark.parametrize("built", [True, False])
def test_state_restores_everything(built):
    twin = make(Offset(PluginConfig()), renew_optimizer=False)
    if built:
        twin.rebuild(FIRST)
        train(twin, 2)
        twin.remember()
    state = copy.deepcopy(twin.state_dict())
    torch.manual_seed(7)
    other = make(Offset(PluginConfig()), renew_optimizer=False)
    other.load_state_dict(state)
    assert (other.network is not None) is built
    for one in (twin, other):
        one.rebuild(SECOND)
    assert torch.equal(twin.network.get_parameter(CONV), other.network.get_parameter(CONV))
    for (_, a), (_, b) in zip(twin._named(), other._named(), strict=True):
        assert twin.optimizer.state[a].keys() == other.optimizer.state[b].keys()


def test_use_before_the_first_rebuild_is_an_error():
    with pytest.raises(AssertionError, match=r"rebuild\(\) comes first"):
        make().remember()


def test_frozen_parameters_get_no_gradient_and_wake_up_as_they_were():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    head = nn.Linear(2, 1)
    with frozen(layer.parameters()):
        head(layer(torch.ones(1, 2))).sum().backward()
    assert (layer.weight.grad, layer.bias.grad) == (None, None)
    assert head.weight.grad is not None
    assert (layer.weight.requires_grad, layer.bias.requires_grad) == (True, False)


def test_gradients_come_back_in_the_layout_of_their_parameters():
    module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    module.weight.grad = torch.randn_like(module.weight)
    state = {name: grad.contiguous().clone() for name, grad in gradients(module).items()}
    assert list(state) == ["weight"]
    module.bias.grad = torch.ones(4)
    load_gradients(module, state)
    assert module.bias.grad is None
    assert torch.equal(module.weight.grad, state["weight"])
    assert module.weight.grad.stride() == module.weight.stride()


def test_resembling_keeps_values_and_counters():
    parameter = nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    values = {"momentum_buffer": torch.randn(4, 3, 3, 3), "step": torch.tensor(3.0), "other": None}
    restored = match_layout(parameter, values)
    assert torch.equal(restored["momentum_buffer"], values["momentum_buffer"])
    assert restored["momentum_buffer"].stride() == parameter.stride()
    assert (restored["step"], restored["other"]) == (values["step"], None)
