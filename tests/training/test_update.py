"""The one place that steps an optimiser."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam

import nasforge
from nasforge.training.update import Update

ROOT = Path(nasforge.__file__).parents[1]
SEARCHERS = {"searcher", "driver", "straight", "resumed", "super()", "inner", "pretraining"}
"""Whose ``step`` is one of a search."""


def modules():
    torch.manual_seed(0)
    return nn.Linear(3, 2), nn.Linear(2, 1), torch.randn(5, 3)


def test_it_is_backward_clipping_and_step():
    first, second, images = modules()
    mine, theirs = SGD(first.parameters(), 0.1, momentum=0.9), Adam(second.parameters(), 0.1)
    update = Update(clip=0.01)
    for _ in range(2):
        update.descend(second(first(images)).square().sum(), [mine, theirs], first.parameters())
    found = [p.detach().clone() for p in [*first.parameters(), *second.parameters()]]

    first, second, images = modules()
    mine, theirs = SGD(first.parameters(), 0.1, momentum=0.9), Adam(second.parameters(), 0.1)
    for _ in range(2):
        mine.zero_grad()
        theirs.zero_grad()
        second(first(images)).square().sum().backward()
        clip_grad_norm_(first.parameters(), 0.01)
        mine.step()
        theirs.step()
    for parameter, expected in zip(found, [*first.parameters(), *second.parameters()], strict=True):
        assert torch.equal(parameter, expected)


def test_no_gradient_is_left():
    first, _, images = modules()
    first.weight.grad = torch.full_like(first.weight, 1e9)
    optimizer = SGD(first.parameters(), 0.1)
    before = first.weight.detach().clone()
    Update().descend(first(images).square().mean(), [optimizer])
    assert (first.weight - before).abs().max() < 10, "what was left from before is cleared"
    assert all(p.grad is None for p in first.parameters())


def test_without_a_limit_nothing_is_clipped():
    weight = nn.Parameter(torch.ones(2))
    Update().descend(1e6 * weight.sum(), [SGD([weight], 1.0)], [weight])
    assert weight.tolist() == [1 - 1e6] * 2


def test_gradients_can_be_edited_before_they_are_clipped():
    weight, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

    def forget():
        other.grad = None

    optimizer = SGD([weight, other], 1.0)
    Update(clip=1.0).descend(3.0 * weight[0] + 4.0 * other[0], [optimizer], [weight, other], edit=forget)
    assert weight.tolist() == pytest.approx([0.0, 1.0], abs=1e-5)
    assert other.tolist() == [1.0, 1.0]


def test_it_steps_along_gradients_that_are_given():
    weight = nn.Parameter(torch.zeros(2))
    Update().apply([weight], [torch.tensor([1.0, -2.0])], SGD([weight], 0.5))
    assert weight.tolist() == [-0.5, 1.0]
    assert weight.grad is None


def steps_in(path):
    """Yield the receiver of every call of a method ``step`` without arguments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if called and node.func.attr == "step" and not node.args:
            yield ast.unparse(node.func.value).removeprefix("self.")


def test_nothing_else_steps_an_optimiser():
    found = {
        (path.relative_to(ROOT).as_posix(), receiver)
        for folder in ("nasforge", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for receiver in steps_in(path)
        if receiver not in SEARCHERS
    }
    assert found == {("nasforge/training/update.py", "optimizer")}


def test_nothing_else_clips_or_differentiates_for_a_step():
    for folder in ("nasforge", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "update.py":
                assert "clip_grad" not in path.read_text(encoding="utf-8"), path
