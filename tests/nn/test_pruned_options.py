"""Pruned options of architecture parameters, and the Dirichlet rules of DrNAS, each written a second time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nasforge.arch import Choice
from nasforge.nn import ArchParameters, Dirichlet, Sigmoid, Softmax

NAMES = tuple("abcdefg")


def make(relaxation=None, choices: int = 3, std: float = 0.2, seed: int = 0) -> ArchParameters:
    torch.manual_seed(seed)
    edge = Choice("edges", NAMES, k=2, kind="edge")
    return ArchParameters([Choice(f"op{i}", NAMES) for i in range(choices)] + [edge], std, relaxation)


def published_pruning(rows: Tensor, keep: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return parameters and mask as `prune` of DrNAS' utils.py leaves them, one row per edge."""
    values, stays = torch.zeros_like(rows), torch.zeros(rows.shape, dtype=torch.bool)
    for i, row in enumerate(rows.tolist()):
        known = range(len(row)) if mask is None else [k for k in range(len(row)) if mask[i, k]]
        for k in sorted(known, key=lambda k, row=row: -row[k])[:keep]:
            values[i, k], stays[i, k] = row[k], True
    return values, stays


def test_pruning_keeps_the_largest_parameters_and_clears_the_others():
    alpha, mask = make(), None
    names = ["op0", "op1", "op2"]
    edges = alpha.logits["edges"].clone()
    for keep in (5, 3):
        rows = torch.stack([alpha.logits[name].detach().clone() for name in names])
        values, mask = published_pruning(rows, keep, mask)
        alpha.prune(keep)
        for i, name in enumerate(names):
            assert torch.equal(alpha.kept[name], mask[i])
            assert torch.equal(alpha.logits[name], values[i])
        with torch.no_grad():  # optimisers with momentum go on moving what was pruned
            for name in names:
                alpha.logits[name].add_(~alpha.kept[name] * 5.0)
    assert torch.equal(alpha.logits["edges"], edges)
    alpha.prune(7)
    assert all(int(stays.sum()) == 3 for stays in alpha.kept.values()), "pruned options stay pruned"


@pytest.mark.parametrize("relaxation", [Softmax(), Dirichlet()], ids=["softmax", "dirichlet"])
def test_weights_of_kept_options_are_those_of_all_scaled_to_one(relaxation):
    alpha = make(relaxation)
    alpha.prune(4)
    torch.manual_seed(3)
    found = alpha.weights()
    torch.manual_seed(3)
    for name in ("op0", "op1", "op2"):
        logits, stays = alpha.logits[name].detach(), alpha.kept[name]
        if isinstance(relaxation, Dirichlet):
            concentration = torch.where(logits > 0, logits + 1, logits.exp())
            whole = torch.distributions.Dirichlet(concentration).rsample()
        else:
            whole = logits.exp() / logits.exp().sum()
        expected = torch.zeros(7)
        expected[stays] = whole[stays] / whole[stays].sum()
        torch.testing.assert_close(found[name].detach(), expected, rtol=1e-6, atol=1e-7)
        assert float(found[name].detach()[~stays].abs().sum()) == 0.0


def test_sigmoids_of_kept_options_stay_as_they_are():
    alpha = make(Sigmoid())
    alpha.prune(4)
    for name, stays in alpha.kept.items():
        expected = torch.where(stays, 1 / (1 + (-alpha.logits[name]).exp()), torch.zeros(7))
        torch.testing.assert_close(alpha.mean()[name], expected)


def test_a_dirichlet_search_derives_by_the_softmax_of_its_parameters():
    """`genotype` of DrNAS reads the softmax, masked and scaled to one; the mean is another number."""
    alpha = make(Dirichlet())
    for prune in (False, True):
        if prune:
            alpha.prune(4)
        for name in ("op0", "op1", "op2"):
            row = alpha.logits[name].tolist()
            stays = alpha.kept[name].tolist() if prune else [True] * 7
            kept = [math.exp(v) if stay else 0.0 for v, stay in zip(row, stays, strict=True)]
            assert alpha.as_lists()[name] == pytest.approx([v / sum(kept) for v in kept], rel=1e-5)
            assert alpha.as_lists()[name] != pytest.approx(alpha.mean()[name].tolist(), rel=1e-3)


def test_pruned_options_get_no_gradient_from_the_loss():
    alpha = make(Softmax())
    alpha.prune(4)
    weights = alpha.weights()["op1"]
    (weights * torch.arange(7.0)).sum().backward()
    grad = alpha.logits["op1"].grad
    torch.testing.assert_close(grad[~alpha.kept["op1"]], torch.zeros(3), rtol=0, atol=1e-7)
    assert float(grad[alpha.kept["op1"]].abs().sum()) > 0.0
