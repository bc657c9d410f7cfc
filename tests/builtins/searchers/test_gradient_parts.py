"""The parts of gradient searchers, each against what is known of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nasforge.arch import Choice
from nasforge.config import PluginConfig
from nasforge.nn import ArchParameters, Dirichlet, Sigmoid
from nasforge_plugins.searchers.gradient.bilevel import gradients_of, next_weights, unrolled_gradients
from nasforge_plugins.searchers.gradient.options import RegularizerOptions
from nasforge_plugins.searchers.gradient.penalties import (
    Regularizers,
    fading,
    mean_entropy,
    mean_log_sum_exp,
    zero_one_loss,
)
from nasforge_plugins.searchers.gradient.perturbation import adversarial, uniform
from support.twin_world import TASK, TinySpace

MOMENTUM, DECAY, RATE = 0.9, 0.01, 0.3


class Quadratic(nn.Module):
    """Training loss w'Aw / 2 + w'Ba, validation loss |w - c|^2 / 2 + a'Dw + |a|^2 / 2."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        half = draw(5, 5)
        self.a, self.b, self.c, self.d = half @ half.T, draw(5, 3), draw(5), draw(3, 5)
        self.w = nn.Parameter(draw(5))
        self.register_buffer("passes", torch.zeros(()))
        self.arch = [nn.Parameter(draw(3))]

    def train_loss(self, w, arch):
        self.passes += 1
        return w @ self.a @ w / 2 + w @ self.b @ arch

    def valid_loss(self, w, arch):
        self.passes += 1
        return (w - self.c).square().sum() / 2 + arch @ self.d @ w + arch.square().sum() / 2


def sgd(parameters, momentum=MOMENTUM):
    return torch.optim.SGD(parameters, RATE, momentum=momentum, weight_decay=DECAY)


def test_second_order_is_the_exact_hypergradient_of_a_quadratic():
    toy = Quadratic()
    optimizer = sgd([toy.w])
    toy.train_loss(toy.w, toy.arch[0].detach()).backward()
    optimizer.step()  # now there is momentum
    optimizer.zero_grad()
    velocity = optimizer.state[toy.w]["momentum_buffer"].clone()

    w, arch = toy.w.detach().clone().requires_grad_(), toy.arch[0].detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(toy.train_loss(w, arch), w, create_graph=True)
    after = w - RATE * (MOMENTUM * velocity + slope + DECAY * w)
    value = toy.valid_loss(after, arch)
    (exact,) = torch.autograd.grad(value, arch)
    (first_order,) = torch.autograd.grad(toy.valid_loss(w, arch), arch)

    toy.passes.zero_()
    before = toy.w.detach().clone()
    (gradient,), loss = unrolled_gradients(
        toy.arch,
        toy,
        lambda: toy.train_loss(toy.w, toy.arch[0]),
        lambda: toy.valid_loss(toy.w, toy.arch[0]),
        optimizer,
    )
    torch.testing.assert_close(gradient, exact, rtol=1e-8, atol=1e-8)
    assert (exact - first_order).norm() > 0.1 * exact.norm()
    assert loss.item() == pytest.approx(value.item())
    assert torch.equal(toy.w, before), "the weights are as they were"
    assert toy.passes == 0, "so are the buffers"
    assert toy.w.grad is None
    assert toy.arch[0].grad is None
    assert torch.equal(optimizer.state[toy.w]["momentum_buffer"], velocity)


def test_second_order_looks_ahead_with_nesterovs_momentum():
    toy = Quadratic()
    optimizer = torch.optim.SGD([toy.w], RATE, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True)
    toy.train_loss(toy.w, toy.arch[0].detach()).backward()
    optimizer.step()
    optimizer.zero_grad()
    velocity = optimizer.state[toy.w]["momentum_buffer"].clone()
    w, arch = toy.w.detach().clone().requires_grad_(), toy.arch[0].detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(toy.train_loss(w, arch), w, create_graph=True)
    step = slope + DECAY * w
    after = w - RATE * (step + MOMENTUM * (MOMENTUM * velocity + step))
    (exact,) = torch.autograd.grad(toy.valid_loss(after, arch), arch)
    (gradient,), _ = unrolled_gradients(
        toy.arch,
        toy,
        lambda: toy.train_loss(toy.w, toy.arch[0]),
        lambda: toy.valid_loss(toy.w, toy.arch[0]),
        optimizer,
    )
    torch.testing.assert_close(gradient, exact, rtol=1e-8, atol=1e-8)
    (slope,) = torch.autograd.grad(toy.train_loss(toy.w, arch), toy.w)
    (predicted,) = next_weights([toy.w], [slope], optimizer)
    toy.w.grad = slope
    optimizer.step()
    torch.testing.assert_close(predicted, toy.w.detach(), rtol=1e-12, atol=1e-12)


def test_second_order_of_a_supernet_is_that_of_autograd():
    torch.manual_seed(0)
    space = TinySpace(PluginConfig())
    network = space.build(TASK, scale="search").double()
    alpha = ArchParameters(space.choices, std=1.0).double()
    names = list(alpha.logits)
    train, valid = ((torch.randn(4, 3, 8, 8).double(), torch.randint(3, (4,))) for _ in "ab")
    optimizer = sgd(network.parameters(), momentum=0.0)

    def loss_of(batch, weights=None):
        # `ArchParameters.weights` computes in float32; finite differences want more.
        mixture = {name: alpha.logits[name].softmax(0) for name in names}
        if weights is None:
            output = network(batch[0], mixture)
        else:
            output = functional_call(network, weights, (batch[0], mixture))
        return cross_entropy(output.logits, batch[1])

    weights = dict(network.named_parameters())
    arch = list(alpha.parameters())
    slopes = torch.autograd.grad(loss_of(train, weights), list(weights.values()), create_graph=True)
    after = {
        name: w - RATE * (slope + DECAY * w) for (name, w), slope in zip(weights.items(), slopes, strict=True)
    }
    exact = torch.autograd.grad(loss_of(valid, after), arch)

    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found, _ = unrolled_gradients(
        arch, network, lambda: loss_of(train), lambda: loss_of(valid), optimizer, scale=1e-4
    )
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(p.requires_grad for p in [*network.parameters(), *arch])


def test_second_order_sees_the_same_draws_in_all_passes_over_a_batch():
    toy = Quadratic()
    drawn = []

    def noisy():
        drawn.append(torch.rand(()).item())
        return toy.train_loss(toy.w, toy.arch[0])

    unrolled_gradients(toy.arch, toy, noisy, lambda: toy.valid_loss(toy.w, toy.arch[0]), sgd([toy.w]))
    assert drawn[0] == drawn[1] == drawn[2]
    assert torch.rand(()).item() != drawn[0], "the generator goes on"


@pytest.mark.parametrize("steps", [0, 2])
def test_next_weights_are_those_of_the_optimiser(steps):
    weight = nn.Parameter(torch.randn(4))
    optimizer = sgd([weight])
    for _ in range(steps):
        weight.grad = torch.randn(4)
        optimizer.step()
    gradient = torch.randn(4)
    (expected,) = next_weights([weight], [gradient], optimizer)
    weight.grad = gradient
    optimizer.step()
    torch.testing.assert_close(expected, weight.detach())


def test_gradients_of_a_loss_that_knows_no_parameter_are_zero():
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    assert [g.tolist() for g in gradients_of(torch.tensor(1.0), parameters)] == [[0, 0], [0, 0, 0]]
    found = gradients_of(2.0 * parameters[0].sum(), parameters)
    assert [g.tolist() for g in found] == [[2, 2], [0, 0, 0]]


WEIGHTS = {"a": torch.tensor([0.05, 0.15, 0.8]), "b": torch.tensor([0.5, 0.5])}


def test_random_disturbance_keeps_weights_on_the_simplex():
    torch.manual_seed(0)
    moved = uniform(WEIGHTS, 0.1)
    for name, w in moved.items():
        assert float(w.sum()) == pytest.approx(1.0)
        assert (w >= 0).all()
        assert not torch.equal(w, WEIGHTS[name])
        torch.testing.assert_close(w, WEIGHTS[name], atol=0.2, rtol=0)


def test_disturbance_of_weights_that_do_not_compete_is_only_clipped():
    torch.manual_seed(0)
    moved = uniform({"a": torch.tensor([0.0, 1.0, 0.5])}, 0.3, simplex=False)["a"]
    assert ((moved >= 0) & (moved <= 1)).all()
    assert float(moved.sum()) != pytest.approx(1.0)


def test_adversary_finds_the_worst_corner_of_its_ball():
    torch.manual_seed(0)
    slope = torch.tensor([1.0, -1.0, 0.0])
    start = {"a": torch.tensor([0.4, 0.4, 0.2])}
    found = adversarial(start, 0.1, lambda w: (w["a"] * slope).sum())["a"]
    assert float(found.sum()) == pytest.approx(1.0)
    assert found[0] > 0.45
    assert found[1] < 0.35


def test_adversary_that_raises_nothing_leaves_weights_alone():
    start = {"a": torch.tensor([0.2, 0.3, 0.5])}
    assert torch.equal(
        adversarial(start, 0.1, lambda w: -(w["a"] - start["a"]).square().sum())["a"], start["a"]
    )


def test_adversary_takes_as_many_steps_as_it_is_told():
    calls = []
    adversarial(WEIGHTS, 0.1, lambda w: calls.append(0) or w["a"].square().sum(), steps=4)
    assert len(calls) == 6


def test_beta_decay_is_the_mean_log_sum_exp():
    logits = {"a": torch.zeros(4), "b": torch.full((2,), 1.5)}
    expected = (math.log(4) + 1.5 + math.log(2)) / 2
    assert mean_log_sum_exp(logits).item() == pytest.approx(expected)


def test_beta_decay_pulls_by_the_softmax():
    logits = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    mean_log_sum_exp({"a": logits}).backward()
    torch.testing.assert_close(logits.grad, logits.detach().softmax(0))


def test_entropy_is_between_decided_and_uniform():
    assert mean_entropy({"a": torch.full((4,), 0.25)}).item() == pytest.approx(1.0)
    assert mean_entropy({"a": torch.tensor([0.0, 1.0])}).item() == 0.0
    both = {"a": torch.full((4,), 0.25), "b": torch.tensor([0.0, 1.0])}
    assert mean_entropy(both).item() == pytest.approx(0.5)
    weights = torch.tensor([0.0, 1.0], requires_grad=True)
    mean_entropy({"a": weights}).backward()
    assert weights.grad.isfinite().all()


def test_zero_one_loss_rewards_decided_sigmoids():
    assert zero_one_loss({"a": torch.full((3,), 0.5)}).item() == 0.0
    assert zero_one_loss({"a": torch.tensor([0.0, 1.0])}).item() == -0.25


def test_regularisers_add_up_and_none_is_none():
    choices = [Choice("op", ("a", "b", "c"))]
    alpha = ArchParameters(choices, std=0.0, relaxation=Sigmoid())
    assert Regularizers(RegularizerOptions())(alpha, 3) is None
    options = RegularizerOptions(beta_decay=0.5, entropy=2.0, zero_one=10.0)
    expected = 0.5 * 3 * math.log(3) + 2.0 + 0.0
    assert Regularizers(options)(alpha, 3).item() == pytest.approx(expected, rel=1e-6)
    dirichlet = ArchParameters(choices, std=0.0, relaxation=Dirichlet())
    assert Regularizers(RegularizerOptions(entropy=-1.0))(dirichlet, 0).item() == pytest.approx(-1.0)


def test_a_penalty_fades_on_a_line():
    strengths = [fading(epoch, coefficient=4.0, ratio=0.5, epochs=8) for epoch in range(6)]
    assert strengths == [4.0, 3.0, 2.0, 1.0, 0.0, 0.0]
