import torch
from sklearn.datasets import load_digits


def test_digits_are_those_of_scikit_learn(loaded):
    digits = loaded("digits", image_size=8)
    assert digits.data.sizes() == {"weights": 719, "arch": 718, "select": 0, "full": 1437, "test": 360}
    images = torch.cat([digits.stored(split)[0] for split in ("full", "test")])
    assert torch.equal(images[..., 0], images[..., 2])
    expected = torch.as_tensor(load_digits().images).mul(255 / 16).round().to(torch.uint8)
    assert sorted(i.numpy().tobytes() for i in images[..., 0].contiguous()) == sorted(
        i.numpy().tobytes() for i in expected
    )


def test_digits_are_32_pixels_wide_and_never_mirrored_by_default(loaded):
    digits = loaded("digits", limit_train=200)
    assert digits.data.task.image_size == 32
    assert digits.data.task.in_channels == 3
    assert digits.data.config.flip is False


def test_the_test_split_is_balanced_and_the_same_for_every_seed(loaded):
    first, second = loaded("digits", image_size=8), loaded("digits", image_size=8, seed=3)
    assert torch.equal(first.stored("test")[0], second.stored("test")[0])
    counts = torch.bincount(first.stored("test")[1])
    assert counts.min() >= 34
    assert counts.max() <= 38


def test_digits_can_be_told_apart(loaded):
    digits = loaded("digits", image_size=16)
    (train, labels), (test, truth) = digits.read("full", augment=False), digits.read("test", augment=False)
    nearest = torch.cdist(test.flatten(1), train.flatten(1)).argmin(1)
    assert (labels[nearest] == truth).float().mean() > 0.95
