"""RandAugment, TrivialAugment and random erasing beside torchvision's own transforms of one image."""

import pytest
import torch
from torchvision.transforms import v2

from nasforge.images.policies import BINS, OPERATIONS, apply_operation, augment, erase, strength

NAMES = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}


def pictures(channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(20, 220, (5, channels, 12, 16), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_operations_are_those_of_torchvision(policy, name) -> None:
    reference = v2.RandAugment() if policy == "randaugment" else v2.TrivialAugmentWide()
    magnitudes, signed = reference._AUGMENTATION_SPACE[NAMES[name]]
    values = magnitudes(BINS, 12, 16)
    side = 16 if name.endswith("_x") else 12
    for magnitude in range(BINS):
        expected = 0.0 if values is None else float(values[magnitude])
        assert strength(policy, name, magnitude, side) == pytest.approx(expected, abs=1e-4)
    for magnitude, sign in ((0, 1), (9, 1), (17, -1), (30, 1)):
        value = 0.0 if values is None else float(values[magnitude]) * (sign if signed else 1)
        for images in (pictures(), pictures(1)):
            found = apply_operation(images, name, value)
            for image, changed in zip(images, found, strict=True):  # alone as in the batch
                alone = reference._apply_image_or_video_transform(
                    image, NAMES[name], value, v2.InterpolationMode.NEAREST, {torch.Tensor: None}
                )
                assert torch.equal(changed, alone)


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_every_image_has_operations_of_its_own(policy, monkeypatch) -> None:
    calls = []

    def note(images, name, value):
        calls.append((name, value, len(images)))
        return images + 1

    monkeypatch.setattr("nasforge.images.policies.apply_operation", note)
    images = torch.zeros(700, 3, 4, 4, dtype=torch.uint8)
    found = augment(images, policy, torch.Generator().manual_seed(0), count=3, magnitude=30)
    rounds = 3 if policy == "randaugment" else 1
    assert bool((found == rounds).all())
    assert sum(count for _, _, count in calls) == 700 * rounds
    for name in OPERATIONS:
        share = sum(count for called, _, count in calls if called == name) / (700 * rounds)
        assert share == pytest.approx(1 / 14, abs=0.035)
    total, seen = 0, set()
    for name, value, count in calls:
        assert (total // 700, name, value) not in seen, "images of one operation are computed at once"
        seen.add((total // 700, name, value))
        total += count
    values = [(value, count) for name, value, count in calls if name == "rotate"]
    negative = sum(count for value, count in values if value < 0) / sum(count for _, count in values)
    assert 0.3 < negative < 0.7
    if policy == "randaugment":
        assert {abs(value) for value, _ in values} == {30.0}
    else:
        assert len({abs(value) for value, _ in values}) > 15


def test_erased_rectangles_are_those_of_torchvision() -> None:
    images = torch.randn(400, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(6)
    state = torch.get_rng_state()
    found = erase(images, 0.4, torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found, erase(images, 0.4, torch.Generator().manual_seed(3)))
    gone = (found == 0).all(1)
    shares = gone.flatten(1).double().mean(1)
    touched = shares > 0
    assert touched.double().mean().item() == pytest.approx(0.4, abs=0.08)
    assert bool((shares[touched] > 0.01).all())
    assert bool((shares < 0.36).all())
    for image, before, hole in zip(found[touched], images[touched], gone[touched], strict=True):
        rows, columns = hole.nonzero().unbind(1)
        assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert torch.equal(image[:, ~hole], before[:, ~hole])
