from __future__ import annotations

import pytest
import torch
from torch import nn

from nasforge.arch import Choice
from nasforge.errors import RunError
from nasforge.nn import (
    ArchParameters,
    ChoiceBlock,
    Dirichlet,
    Gumbel,
    Picked,
    Sigmoid,
    Softmax,
    bypass,
    part_of,
)

LOGITS = torch.tensor([0.3, -0.7, 1.1, 0.0])
OPERATION, EDGES = Choice("op", ("a", "b", "c", "d")), Choice("edge", ("x", "y"), kind="edge")


def parameters(relaxation=None) -> ArchParameters:
    alpha = ArchParameters([OPERATION, EDGES], relaxation=relaxation)
    with torch.no_grad():
        alpha.logits["op"].copy_(LOGITS)
    return alpha


def test_softmax_is_what_architecture_parameters_start_with():
    alpha = parameters()
    assert isinstance(alpha.relaxation, Softmax)
    assert torch.equal(alpha.weights()["op"], LOGITS.softmax(0))
    assert alpha.as_lists()["op"] == pytest.approx(LOGITS.softmax(0).tolist())


@pytest.mark.parametrize(
    "relaxation", [Softmax(), Gumbel(), Dirichlet(), Sigmoid()], ids=lambda r: type(r).__name__
)
def test_edges_are_a_softmax_under_every_relaxation(relaxation):
    alpha = parameters(relaxation)
    for weights in (alpha.weights(), alpha.mean()):
        assert torch.equal(weights["edge"], alpha.logits["edge"].softmax(0))
    assert list(alpha.mean()) == list(alpha.logits)
    assert alpha.shares()["op"].sum().item() == pytest.approx(1.0)
    assert 0.0 < alpha.entropy() <= 1.0


def test_gumbel_draws_options_as_often_as_their_softmax_says():
    torch.manual_seed(0)
    gumbel = Gumbel()
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[gumbel.weights({"op": LOGITS})["op"]] += 1
    torch.testing.assert_close(counts / 4000, LOGITS.softmax(0), atol=0.03, rtol=0)


def test_gumbel_weight_is_one_and_has_the_gradient_of_the_tempered_softmax():
    logits = LOGITS.clone().requires_grad_()
    gumbel = Gumbel(2.0, 2.0)
    torch.manual_seed(3)
    drawn = gumbel.weights({"op": logits})["op"]
    assert isinstance(drawn, Picked)
    assert drawn.weight.item() == 1.0
    (gradient,) = torch.autograd.grad(drawn.weight, logits)
    torch.manual_seed(3)
    again = LOGITS.clone().requires_grad_()
    noise = -torch.empty(4).exponential_().log()
    soft = ((again.log_softmax(0) + noise) / 2.0).softmax(0)
    assert int(soft.argmax()) == drawn
    (expected,) = torch.autograd.grad(soft[drawn], again)
    torch.testing.assert_close(gradient, expected)
    assert expected.abs().max() > 1e-3


def test_gumbel_without_gradient_is_a_plain_index():
    drawn = Gumbel().weights({"op": LOGITS})["op"]
    assert type(drawn) is int


def test_gumbel_temperature_follows_a_line():
    gumbel = Gumbel()
    temperatures = []
    for gumbel.progress in (0.0, 0.5, 1.0):
        temperatures.append(gumbel.temperature)
    assert temperatures == pytest.approx([10.0, 5.05, 0.1])


def test_dirichlet_draws_have_the_mean_of_elu_plus_one():
    torch.manual_seed(0)
    dirichlet = Dirichlet()
    concentration = torch.nn.functional.elu(LOGITS) + 1.0
    mean = dirichlet.mean({"op": LOGITS})["op"]
    torch.testing.assert_close(mean, concentration / concentration.sum())
    draws = torch.stack([dirichlet.weights({"op": LOGITS})["op"] for _ in range(3000)])
    torch.testing.assert_close(draws.sum(1), torch.ones(3000))
    torch.testing.assert_close(draws.mean(0), mean, atol=0.02, rtol=0)


def test_dirichlet_gradient_points_where_the_mean_grows():
    torch.manual_seed(0)
    logits = LOGITS.clone().requires_grad_()
    dirichlet = Dirichlet()
    total = sum(dirichlet.weights({"op": logits})["op"][2] for _ in range(3000)) / 3000
    (sampled,) = torch.autograd.grad(total, logits)
    (exact,) = torch.autograd.grad(dirichlet.mean({"op": logits})["op"][2], logits)
    torch.testing.assert_close(sampled, exact, atol=0.02, rtol=0)


def test_dirichlet_survives_logits_far_below_zero():
    weights = Dirichlet().weights({"op": torch.tensor([-1e3, -1e3, 0.0])})["op"]
    assert weights.isfinite().all()


def test_sigmoid_options_do_not_compete():
    weights = Sigmoid().mean({"op": torch.full((3,), 50.0)})["op"]
    assert weights.tolist() == [1.0, 1.0, 1.0]


class Counting(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.calls = factor, 0

    def forward(self, x):
        self.calls += 1
        return self.factor * x


def test_only_the_drawn_option_runs_and_its_weight_has_a_gradient():
    factors = {"a": 2.0, "b": 3.0, "c": 5.0, "d": 7.0}
    block = ChoiceBlock(OPERATION, lambda name: Counting(factors[name]))
    weight = torch.tensor(1.0, requires_grad=True)
    x = torch.ones(1, 1, 2, 2)
    y = block(x, {"op": Picked(2, weight)})
    assert [option.calls for option in block.options.values()] == [0, 0, 1, 0]
    assert torch.equal(y, 5.0 * x)
    y.sum().backward()
    assert weight.grad.item() == 20.0


def test_bypass_mixes_the_first_channels_and_shuffles_the_groups():
    x = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 2, 2).contiguous()
    y = bypass(x, 4, lambda part: -part)
    # Groups (0 1) (2 3) (4 5) (6 7) alternate; the first one is mixed.
    assert y[0, :, 0, 0].tolist() == [0, 2, 4, 6, -1, 3, 5, 7]


@pytest.mark.parametrize("side", [4, 5])
def test_bypass_pools_what_passes_where_the_mixture_is_smaller(side):
    x = torch.randn(2, 4, side, side).contiguous(memory_format=torch.channels_last)
    pool = nn.MaxPool2d(2, ceil_mode=True)
    y = bypass(x, 2, pool)
    expected = pool(x)[:, [0, 2, 1, 3]]
    assert torch.equal(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_a_block_with_a_share_builds_its_options_for_fewer_channels():
    block = ChoiceBlock(OPERATION, lambda name: nn.Conv2d(part_of(8, 4), 2, 1), share=4)
    x = torch.randn(2, 8, 3, 3)
    weights = {"op": torch.tensor([0.1, 0.2, 0.3, 0.4])}
    mixed = sum(w * option(x[:, :2]) for w, option in zip(weights["op"], block.options.values(), strict=True))
    y = block(x, weights)
    torch.testing.assert_close(y[:, [0, 4]], mixed)
    passed = [i for i in range(8) if i not in (0, 4)]
    torch.testing.assert_close(y[:, passed].sum(1), x[:, 2:].sum(1))


def test_channels_that_cannot_be_divided_are_named():
    with pytest.raises(RunError, match="6 channels cannot be divided into 4 groups"):
        part_of(6, 4)
