"""An optimiser whose rate is a tensor makes the steps of torch's SGD."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import SGD

from nasforge.training.loops import load_optimizer, set_lr
from nasforge.training.steady import SteadySGD


def weights():
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(3, 2, dtype=torch.float64)) for _ in range(3)]


def train(parameters, optimizer, steps, first=0):
    for number in range(first, first + steps):
        set_lr(optimizer, 0.1 / (number + 1))
        for place, parameter in enumerate(parameters):
            parameter.grad = torch.sin(parameter.detach() * (number + 1)) if place or number else None
        optimizer.step()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9, "weight_decay": 3e-4},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-2},
        {"momentum": 0.9, "dampening": 0.5},
    ],
)
def test_it_makes_the_steps_of_torch(options):
    mine, theirs = weights(), weights()
    train(mine, SteadySGD(mine, 0.1, **options), 4)
    train(theirs, SGD(theirs, 0.1, **options), 4)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-15)


def test_states_are_those_of_torch_and_rates_stay_in_place():
    options = {"momentum": 0.9, "weight_decay": 1e-3}
    mine, theirs = weights(), weights()
    steady, plain = SteadySGD(mine, 0.1, **options), SGD(theirs, 0.1, **options)
    train(mine, steady, 2)
    train(theirs, plain, 2)
    state = copy.deepcopy(steady.state_dict())
    assert state["param_groups"] == plain.state_dict()["param_groups"]
    place = steady.param_groups[0]["lr"]
    assert isinstance(place, torch.Tensor)
    load_optimizer(plain, state)
    load_optimizer(steady, copy.deepcopy(plain.state_dict()))
    assert steady.param_groups[0]["lr"] is place
    train(mine, steady, 2, first=2)
    train(theirs, plain, 2, first=2)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-15)
