"""Corruptions spoil more with severity, and are the same for every candidate."""

import pytest
import torch

from common_corruptions.images import CORRUPTIONS, corrupt

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("side", [8, 16])
def test_more_severe_is_further_away(kind: str, side: int) -> None:
    images = IMAGES[..., :side, :side]
    spoilt = [corrupt(images, kind, severity, seed=1) for severity in (1, 3, 5)]
    distances = [float((x - images).square().mean()) for x in spoilt]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert all(x.shape == images.shape and x.dtype == images.dtype for x in spoilt)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_seed_decides(kind: str) -> None:
    a, b, c = (corrupt(IMAGES, kind, 3, seed) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert torch.equal(a, c) == (kind != "noise")


def test_blur_keeps_the_mean_of_flat_images() -> None:
    flat = torch.full((1, 3, 16, 16), 0.7)
    assert torch.allclose(corrupt(flat, "blur", 5, seed=0), flat, atol=1e-6)
