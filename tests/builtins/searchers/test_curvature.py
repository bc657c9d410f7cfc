"""The dominant eigenvalue of a Hessian, against what dense linear algebra and autograd say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.autograd.functional import hessian
from torch.nn.functional import cross_entropy

from nasforge.plugins import Registry
from nasforge.space import Task
from nasforge_plugins.searchers.gradient.curvature import (
    difference_product,
    dominant_eigenvalue,
    has_own_functions,
    hessian_product,
)

REGISTRY = Registry.discover()
TASK = Task(image_size=8, num_classes=3)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotated(eigenvalues: list[float]) -> torch.Tensor:
    basis, _ = torch.linalg.qr(draw(len(eigenvalues), len(eigenvalues), seed=3))
    return basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T


@pytest.mark.parametrize(
    ("eigenvalues", "dominant"),
    [
        ([5.0, 1.0, 0.5, -2.0, 0.0], 5.0),
        ([3.0, 1.0, 0.5, -4.0, 0.0], -4.0),
        ([2.0, 2.0, 2.0], 2.0),
        ([0.0, 0.0, 7.0, 0.0], 7.0),
        ([0.0, 0.0], 0.0),
        ([-1.5], -1.5),
    ],
)
def test_lanczos_finds_the_eigenvalue_of_largest_magnitude(eigenvalues, dominant):
    matrix = rotated(eigenvalues)
    found = dominant_eigenvalue(lambda v: matrix @ v, draw(len(eigenvalues), seed=1), tolerance=1e-10)
    assert found == pytest.approx(dominant, abs=1e-9)


def test_lanczos_needs_far_fewer_products_than_the_matrix_has_rows():
    eigenvalues = [10.0, *torch.linspace(-3, 4, 199).tolist()]
    matrix, calls = rotated(eigenvalues), []

    def product(vector):
        calls.append(1)
        return matrix @ vector

    assert dominant_eigenvalue(product, draw(200, seed=1)) == pytest.approx(10.0, rel=1e-2)
    assert len(calls) < 15
    calls.clear()
    dominant_eigenvalue(product, draw(200, seed=1), steps=3)
    assert len(calls) == 3


def test_lanczos_stays_orthogonal_over_many_steps():
    eigenvalues = [2.0, *torch.linspace(-1.99, 1.99, 59).tolist()]
    matrix = rotated(eigenvalues)
    found = dominant_eigenvalue(lambda v: matrix @ v, draw(60, seed=1), steps=60, tolerance=0.0)
    assert found == pytest.approx(2.0, abs=1e-9)


def test_what_is_no_number_is_reported_as_that():
    assert math.isnan(dominant_eigenvalue(lambda v: v * math.nan, draw(3)))


def test_products_are_those_of_the_exact_hessian():
    parameters = [nn.Parameter(draw(3, seed=1)), nn.Parameter(draw(2, 2, seed=2))]
    mixed = draw(7, 7, seed=3)

    def loss_of(flat):
        return (mixed @ flat).tanh().square().sum() + flat.softmax(0)[0] * flat.sum()

    def loss():
        return loss_of(torch.cat([p.reshape(-1) for p in parameters]))

    before = [p.detach().clone() for p in parameters]
    exact = hessian(loss_of, torch.cat([p.detach().reshape(-1) for p in parameters]))
    differences, twice = difference_product(parameters, loss, scale=1e-4), hessian_product(parameters, loss)
    for seed in range(3):
        vector = draw(7, seed=10 + seed) * 10.0**seed
        torch.testing.assert_close(differences(vector), exact @ vector, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(twice(vector), exact @ vector, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(p, b) and p.grad is None for p, b in zip(parameters, before, strict=True))


def test_parameters_come_back_when_the_loss_fails():
    parameter = nn.Parameter(draw(3))
    before = parameter.detach().clone()

    def fail():
        raise RuntimeError("no loss today")

    with pytest.raises(RuntimeError, match="no loss today"):
        difference_product([parameter], fail)(draw(3, seed=1))
    assert torch.equal(parameter, before)


def test_a_loss_that_does_not_bend_has_no_curvature():
    parameters = [nn.Parameter(draw(3)), nn.Parameter(draw(2))]
    product = hessian_product(parameters, lambda: 2.0 * parameters[0].sum())
    assert torch.equal(product(draw(5)), torch.zeros(5, dtype=torch.float64))
    assert dominant_eigenvalue(product, draw(5)) == 0.0


class Once(torch.autograd.Function):
    """A cube whose gradient cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3.0 * x.square() * gradient


def test_what_can_be_differentiated_once_is_measured_by_differences():
    parameter = nn.Parameter(draw(4))
    product = hessian_product([parameter], lambda: Once.apply(parameter).sum())
    exact = torch.diag(6.0 * parameter.detach())
    for seed in range(3):
        vector = draw(4, seed=seed)
        torch.testing.assert_close(product(vector), exact @ vector)


def test_other_errors_of_a_network_are_not_hidden():
    parameter = nn.Parameter(draw(4))

    def loss():
        value = parameter.square().sum()
        parameter.register_hook(lambda gradient: fail() if len(calls) else calls.append(1))
        return value

    def fail():
        raise RuntimeError("broken in its own way")

    calls: list[int] = []
    product = hessian_product([parameter], loss)
    with pytest.raises(RuntimeError, match="broken in its own way"):
        product(draw(4, seed=1))


class Supernet:
    """A supernet of the NAS-Bench-201 space, its logits, and its loss on a batch."""

    def __init__(self, execution: str, dtype: torch.dtype) -> None:
        plugin = REGISTRY.get("space", "nasbench201")
        options = {"search_channels": 4, "search_cells": 1, "execution": execution}
        self.choices = (space := plugin.load()(plugin.config(**options))).choices
        torch.manual_seed(0)
        self.network = space.build(TASK, scale="search").to(dtype)
        self.network.requires_grad_(False)
        self.logits = [nn.Parameter(draw(5, seed=i).to(dtype)) for i in range(len(self.choices))]
        self.images = draw(6, 3, 8, 8, seed=50).to(dtype)
        self.labels = torch.tensor([0, 1, 2, 0, 1, 2])

    def loss_of(self, flat):
        parts = flat.split(5)
        weights = {c.name: part.softmax(0) for c, part in zip(self.choices, parts, strict=True)}
        return cross_entropy(self.network(self.images, weights).logits, self.labels)

    def loss(self):
        return self.loss_of(torch.cat(self.logits))


@pytest.fixture(scope="module")
def exact() -> torch.Tensor:
    reference = Supernet("reference", torch.float64)
    return hessian(reference.loss_of, torch.cat([p.detach() for p in reference.logits]))


def test_products_are_exact_on_a_supernet_in_double_precision(exact):
    reference = Supernet("reference", torch.float64)
    product = difference_product(reference.logits, reference.loss, scale=1e-5)
    for seed in range(3):
        vector = draw(30, seed=seed)
        torch.testing.assert_close(product(vector), exact @ vector, rtol=1e-3, atol=1e-6)


@pytest.fixture
def torch_alone(monkeypatch):
    """Without kernels in C."""
    monkeypatch.setenv("NASFORGE_NATIVE", "0")


@pytest.mark.parametrize("execution", ["reference", "fast"])
@pytest.mark.usefixtures("torch_alone")
def test_the_eigenvalue_of_a_supernet_as_it_is_searched_is_right(exact, execution):
    values = torch.linalg.eigvalsh(exact)
    dominant = float(values[values.abs().argmax()])
    supernet = Supernet(execution, torch.float32)
    product = hessian_product(supernet.logits, supernet.loss)
    assert dominant_eigenvalue(product, draw(30, seed=9)) == pytest.approx(dominant, rel=0.03)


def test_the_eigenvalue_of_kernels_is_that_of_differences():
    plain, fast = Supernet("reference", torch.float64), Supernet("fast", torch.float32)
    expected = dominant_eigenvalue(difference_product(plain.logits, plain.loss), draw(30, seed=9))
    if not has_own_functions(fast.loss()):
        pytest.skip("there are no kernels, for want of a compiler")
    product = hessian_product(fast.logits, fast.loss)
    assert dominant_eigenvalue(product, draw(30, seed=9)) == pytest.approx(expected, rel=0.01)


class Cells:
    """A supernet of another space, in double precision."""

    def __init__(self, name: str, **options) -> None:
        plugin = REGISTRY.get("space", name)
        space = plugin.load()(plugin.config(**{**plugin.tiny, **options}))
        torch.manual_seed(0)
        self.network = space.build(TASK, scale="search").requires_grad_(False).double()
        self.choices = [c for c in space.choices if c.kind == "op"]
        self.logits = [nn.Parameter(0.1 * draw(len(c.options), seed=i)) for i, c in enumerate(self.choices)]
        self.images, self.labels = draw(6, 3, 8, 8, seed=50), torch.tensor([0, 1, 2, 0, 1, 2])

    def loss(self):
        weights = {c.name: p.softmax(0) for c, p in zip(self.choices, self.logits, strict=True)}
        return cross_entropy(self.network(self.images, weights).logits, self.labels)

    def start(self):
        return draw(sum(p.numel() for p in self.logits), seed=9)


def test_a_supernet_of_plain_modules_is_differentiated_twice():
    cells = Cells("darts", execution="reference")
    assert not has_own_functions(cells.loss())
    exact = difference_product(cells.logits, cells.loss, scale=1e-7)(cells.start())
    torch.testing.assert_close(
        hessian_product(cells.logits, cells.loss)(cells.start()), exact, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("darts", {"execution": "fast"}),
        ("chain", {"execution": "fast"}),
        ("chain", {"execution": "reference"}),
    ],
    ids=str,
)
def test_supernets_without_second_derivatives_are_measured_by_differences(name, options):
    cells = Cells(name, **options)
    found = hessian_product(cells.logits, cells.loss)(cells.start())
    assert torch.equal(found, difference_product(cells.logits, cells.loss)(cells.start()))
    assert found.isfinite().all()
    assert found.any()


def test_autograd_would_be_wrong_where_a_function_has_first_derivatives_only():
    """Without a word: the reason why a graph is looked through."""
    cells = Cells("darts", execution="fast")
    loss = cells.loss()
    assert has_own_functions(loss)
    slope = torch.autograd.grad(
        loss, cells.logits, create_graph=True, materialize_grads=True, allow_unused=True
    )
    along = (torch.cat(slope) * cells.start()).sum()
    silent = torch.autograd.grad(along, cells.logits, allow_unused=True, materialize_grads=True)
    exact = difference_product(cells.logits, cells.loss, scale=1e-7)(cells.start())
    assert (torch.cat(silent) - exact).norm() > 0.1 * exact.norm()
