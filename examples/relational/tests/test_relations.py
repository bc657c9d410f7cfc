"""The relations are those of the paper, and ignore what they shall ignore."""

import math

import pytest
import torch
from nasforge.nn import Output

from relational.config import RelationalDistillerConfig
from relational.distiller import RelationalDistiller, angles, distances

TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])


def test_distances_are_in_units_of_their_mean() -> None:
    found = distances(TRIANGLE)
    assert torch.allclose(found, torch.tensor([[0.0, 3, 4], [3, 0, 5], [4, 5, 0]]) / 4, atol=1e-5)


def test_angles_are_those_of_the_triangle() -> None:
    found = angles(TRIANGLE)
    assert float(found[0, 1, 2]) == pytest.approx(0.0, abs=1e-5)  # the right angle at the origin
    assert float(found[1, 0, 2]) == pytest.approx(3 / 5, abs=1e-5)
    assert float(found[2, 0, 1]) == pytest.approx(4 / 5, abs=1e-5)


def output(points: torch.Tensor) -> Output:
    return Output(torch.zeros(len(points), 2), (points[:, :, None, None],))


def test_turning_moving_and_scaling_all_points_changes_nothing() -> None:
    loss = RelationalDistiller(RelationalDistillerConfig())
    points = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    c, s = math.cos(1.0), math.sin(1.0)
    moved = 5 * points @ torch.tensor([[c, s], [-s, c]]) + 3
    assert float(loss(output(moved), output(points), torch.zeros(6))) == pytest.approx(0, abs=1e-5)
    other = points.flip(0)
    assert float(loss(output(other), output(points), torch.zeros(6))) > 0.1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_small_batches_and_equal_points_are_finite(count: int) -> None:
    points = torch.zeros(count, 2, requires_grad=True)
    teacher = output(torch.randn(count, 5))
    loss = RelationalDistiller(RelationalDistillerConfig())(output(points), teacher, torch.zeros(count))
    loss.backward()
    assert loss.isfinite()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_at_least_one_relation_counts() -> None:
    with pytest.raises(ValueError, match="all weights are 0"):
        RelationalDistillerConfig(distance_weight=0, angle_weight=0)
