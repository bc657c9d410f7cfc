"""The policy draws what it says, and learns."""

from itertools import combinations
from random import Random

import pytest
import torch
from nasforge.arch import Arch, Choice

from reinforce.policy import Policy

CHOICES = (Choice("a", ("x", "y", "z")), Choice("b", ("p", "q", "r", "s"), k=2))


@pytest.fixture
def policy() -> Policy:
    policy = Policy(CHOICES)
    with torch.no_grad():
        policy.logits[0].copy_(torch.tensor([0.0, 1.0, -1.0]))
        policy.logits[1].copy_(torch.tensor([0.5, 0.0, -0.5, 1.0]))
    return policy


def test_probabilities_add_up_to_one(policy: Policy) -> None:
    answers = [Arch({"a": a, "b": b}) for a in "xyz" for b in combinations("pqrs", 2)]
    total = sum(policy.log_prob(arch).exp() for arch in answers)
    assert float(total.detach()) == pytest.approx(1.0)


def test_draws_are_as_frequent_as_their_probability(policy: Policy) -> None:
    rng, wanted = Random(0), Arch({"a": "y", "b": ("p", "s")})
    found = sum(policy.draw(rng) == wanted for _ in range(4000)) / 4000
    assert found == pytest.approx(float(policy.log_prob(wanted).exp().detach()), rel=0.1)


def test_entropy_is_largest_at_the_start(policy: Policy) -> None:
    assert float(policy.entropy().detach()) < float(Policy(CHOICES).entropy().detach())
