"""Mixtures of images: pixels and targets as the papers define them."""

import pytest
import torch

from nasforge.images.mixing import Mixing

SIDE = 16


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(4)), torch.tensor(
        [0, 1, 2, 3, 1, 0]
    )


def mixed(
    mixup: float, cutmix: float, share: float = 1.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    return Mixing(mixup, cutmix, share, 4)(*batch(), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_mixup_mixes_pixels_and_labels_by_one_share(seed: int) -> None:
    images, labels = batch()
    found, targets = mixed(0.4, 0.0, seed=seed)
    share = targets[1, 1].item()  # image 1 has class 1, its neighbour class 0
    assert 0 < share < 1
    for i in range(6):
        expected = share * images[i] + (1 - share) * images[i - 1]
        torch.testing.assert_close(found[i], expected, rtol=1e-4, atol=1e-5)
        target = [
            share * (labels[i] == k).item() + (1 - share) * (labels[i - 1] == k).item() for k in range(4)
        ]
        assert targets[i].tolist() == pytest.approx(target, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_counts_the_pixels_of_each_image(seed: int) -> None:
    images, labels = batch()
    found, targets = mixed(0.0, 1.0, seed=seed)
    for i in range(6):
        own = (found[i] == images[i]).all(0)
        other = (found[i] == images[i - 1]).all(0)
        assert bool((own | other).all())
        rows, columns = other.nonzero().unbind(1)
        if len(rows):  # a rectangle
            area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
            assert int(area) == len(rows)
        share = own.sum().item() / SIDE**2
        target = [
            share * (labels[i] == k).item() + (1 - share) * (labels[i - 1] == k).item() for k in range(4)
        ]
        assert targets[i].tolist() == pytest.approx(target, abs=1e-6)


def test_shares_have_the_mean_and_variance_of_their_beta_distribution() -> None:
    mixing, generator = Mixing(0.2, 0.0, 1.0, 4), torch.Generator().manual_seed(1)
    shares = torch.tensor([mixing(*batch(), generator)[1][1, 1].item() for _ in range(1500)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.05)
    assert shares.var().item() == pytest.approx(
        1 / (4 * (2 * 0.2 + 1)), rel=0.1
    )  # ab / ((a + b)² (a + b + 1))


def test_only_a_share_of_the_batches_is_mixed_and_no_other_draw_is_moved() -> None:
    mixing, generator = Mixing(0.2, 1.0, 0.3, 4), torch.Generator().manual_seed(1)
    images, labels = batch()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    results = [mixing(images, labels, generator) for _ in range(400)]
    assert torch.equal(torch.get_rng_state(), state)
    count = sum(targets.dim() == 2 for _, targets in results)
    assert count / 400 == pytest.approx(0.3, abs=0.08)
    assert all(torch.equal(found, images) for found, targets in results if targets.dim() == 1)
    cut = sum(bool((found == images).all(1).any()) for found, targets in results if targets.dim() == 2)
    assert 0.3 < cut / count < 0.7
