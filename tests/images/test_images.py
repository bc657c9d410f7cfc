import pytest
import torch
from pydantic import ValidationError

from nasforge.component import Context
from nasforge.errors import DataError
from nasforge.images import ImageSet, InMemoryImages
from nasforge.images.config import ImageConfig
from nasforge.runtime import Runtime


def image_set(count=60, side=8, channels=3, height=None, **changes):
    generator = torch.Generator().manual_seed(0)
    shape = (height or side, side, channels)
    fields = {
        "train_images": torch.randint(1, 256, (count, *shape), generator=generator, dtype=torch.uint8),
        "train_labels": torch.arange(count) % 3,
        "test_images": torch.randint(1, 256, (12, *shape), generator=generator, dtype=torch.uint8),
        "test_labels": torch.arange(12) % 3,
        "classes": ("c0", "c1", "c2"),
    }
    return ImageSet(**{**fields, **changes})


def module(images=None, *, seed=0, channels_last=True, **options):
    class Fixed(InMemoryImages[ImageConfig]):
        def load(self):
            return images or image_set()

    data = Fixed(ImageConfig(**{"batch_size": 8, **options}))
    runtime = Runtime(torch.device("cpu"), channels_last=channels_last)
    data.setup(Context(None, runtime, seed, "search", None, None))
    return data


def everything(data, split, **arguments):
    batches = list(data.batches(split, **arguments))
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def grey_levels(data, images):
    std, mean = (
        torch.tensor(data.preprocessing.deviation).view(-1, 1, 1),
        torch.tensor(data.preprocessing.mean).view(-1, 1, 1),
    )
    return ((images * std + mean) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def test_a_plain_pass_gives_the_stored_images_in_stored_order():
    data = module(split_by="position")
    images, labels = everything(data, "full", augment=False)
    assert torch.equal(grey_levels(data, images), image_set().train_images)
    assert torch.equal(labels, image_set().train_labels)
    arch, _ = everything(data, "arch", augment=False)
    assert torch.equal(arch, images[data.split_indices("arch")])
    test, labels = everything(data, "test", augment=False, batch_size=100)
    assert torch.equal(grey_levels(data, test), image_set().test_images)
    assert labels.dtype == torch.int64


def test_normalisation_uses_the_training_images():
    images, _ = everything(module(), "full", augment=False)
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_options_come_before_published_constants_and_those_before_computed_ones():
    published = image_set(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert module(published).preprocessing.mean == (0.1, 0.2, 0.3)
    assert module(published, mean=(0.7, 0.7, 0.7)).preprocessing.mean == (0.7, 0.7, 0.7)
    assert module(published, mean=(0.7, 0.7, 0.7)).preprocessing.deviation == (0.4, 0.5, 0.6)


def test_a_channel_without_variation_stays_finite():
    flat = image_set(train_images=torch.full((60, 8, 8, 3), 7, dtype=torch.uint8))
    images, _ = everything(module(flat), "full", augment=False)
    assert torch.equal(images, torch.zeros_like(images))


def test_a_pass_is_a_function_of_seed_split_and_epoch():
    first = everything(module(cutout=3), "weights", epoch=3)
    torch.manual_seed(99)
    data = module(cutout=3)
    everything(data, "arch", epoch=5)
    again = everything(data, "weights", epoch=3)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    for other in (
        everything(data, "weights", epoch=4),
        everything(module(cutout=3, seed=1), "weights", epoch=3),
    ):
        assert not torch.equal(first[0], other[0])


def test_a_pass_draws_nothing_from_the_global_generator():
    data = module(cutout=3)
    before = torch.get_rng_state()
    everything(data, "weights")
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_does_not_depend_on_the_batch_size():
    data = module()
    assert torch.equal(everything(data, "weights", batch_size=4)[0], everything(data, "weights")[0])


def test_passes_over_two_splits_may_be_read_side_by_side():
    data = module()
    together = list(zip(data.batches("weights"), data.batches("arch"), strict=True))
    assert torch.equal(torch.cat([w[0] for w, _ in together]), everything(data, "weights")[0])
    assert torch.equal(torch.cat([a[0] for _, a in together]), everything(data, "arch")[0])


def test_without_augmentation_options_a_training_pass_only_shuffles():
    data = module(padding=0, flip=False)
    plain, labels = everything(data, "weights", augment=False)
    shuffled, shuffled_labels = everything(data, "weights")
    positions = [int((plain == image).flatten(1).all(1).nonzero()) for image in shuffled]
    assert positions != sorted(positions)
    assert sorted(positions) == list(range(len(plain)))
    assert torch.equal(labels[positions], shuffled_labels)


def test_every_training_image_is_a_shifted_and_perhaps_mirrored_stored_one():
    data = module(padding=2)
    stored = image_set().train_images
    padded = torch.zeros(60, 12, 12, 3, dtype=torch.uint8)
    padded[:, 2:-2, 2:-2] = stored
    windows = {}
    for image in range(60):
        for top in range(5):
            for left in range(5):
                window = padded[image, top : top + 8, left : left + 8]
                windows[window.numpy().tobytes()] = (image, top, left, False)
                windows[window.flip(1).contiguous().numpy().tobytes()] = (image, top, left, True)
    seen = []
    for epoch in range(4):
        images, labels = everything(data, "full", epoch=epoch)
        found = [windows[i.contiguous().numpy().tobytes()] for i in grey_levels(data, images)]
        assert [int(image_set().train_labels[f[0]]) for f in found] == labels.tolist()
        seen += found
    assert {f[1] for f in seen} == {f[2] for f in seen} == set(range(5))
    assert 0.35 < sum(f[3] for f in seen) / len(seen) < 0.65


def test_padding_is_an_eighth_of_the_side_by_default():
    white = image_set(side=32, train_images=torch.full((60, 32, 32, 3), 255, dtype=torch.uint8))
    images, _ = everything(module(white, mean=(0.5,) * 3, std=(0.5,) * 3), "full")
    black_rows = (images[:, 0] == -1).all(2).sum(1)
    assert black_rows.max() == 4


def test_cutout_option_zeros_a_square_after_normalisation():
    images, _ = everything(module(cutout=4, padding=0, mean=(2.0,) * 3, std=(1.0,) * 3), "full")
    zeros = (images == 0).all(1).flatten(1).sum(1)
    assert zeros.max() == 16
    assert zeros.min() >= 4  # a corner, clipped


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_have_the_layout_of_the_runtime(channels_last):
    data = module(channels_last=channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for augment in (True, False):
        images, _ = next(iter(data.batches("weights", augment=augment)))
        assert images.shape == (8, 3, 8, 8)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=layout)


def test_grey_images_work():
    data = module(image_set(channels=1))
    assert data.task.in_channels == 1
    assert next(iter(data.batches("weights")))[0].shape == (8, 1, 8, 8)


def test_image_size_cuts_the_middle_square_and_scales_it():
    data = module(image_set(side=16, height=24), image_size=8)
    assert data.task.image_size == 8
    expected = image_set(side=16, height=24).train_images[:, 4:20].float()
    expected = expected.permute(0, 3, 1, 2).unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    images, _ = everything(data, "full", augment=False)
    difference = grey_levels(data, images).permute(0, 3, 1, 2).float() - expected
    assert difference.abs().mean() < 25  # antialiasing averages over a little more than two pixels


def test_limits_keep_classes_balanced_and_do_not_depend_on_the_seed():
    first, second = module(limit_train=30, limit_test=6), module(limit_train=30, limit_test=6, seed=5)
    assert first.sizes() == {"weights": 15, "arch": 15, "select": 0, "full": 30, "test": 6}
    images, labels = everything(first, "full", augment=False)
    assert torch.bincount(labels).tolist() == [10, 10, 10]
    assert torch.equal(images, everything(second, "full", augment=False)[0])
    assert module(limit_train=1000).sizes()["full"] == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": torch.zeros(60, 8, 8, 3)}, "training images are float32 of shape"),
        ({"train_images": torch.zeros(60, 8, 8, dtype=torch.uint8)}, "training images are uint8 of shape"),
        ({"test_images": torch.zeros(0, 8, 8, 3, dtype=torch.uint8)}, "for 0 images"),
        ({"test_images": torch.ones(12, 9, 9, 3, dtype=torch.uint8)}, "training images are 8 x 8 x 3, test"),
        ({"train_labels": torch.zeros(59, dtype=torch.int64)}, "for 60 images"),
        ({"train_labels": torch.zeros(60)}, "float32"),
        ({"train_labels": torch.arange(60) % 4}, "go from 0 to 3, but there are 3 classes"),
        ({"test_labels": torch.arange(12) - 1}, "test labels go from -1"),
        ({"train_labels": torch.arange(60) % 2 + 1}, "no training image of class 'c0'"),
        ({"classes": ("only",)}, "1 class"),
        ({"classes": ("a", "b", "a")}, "class name 'a' is there twice"),
    ],
)
def test_images_that_do_not_fit_are_explained(changes, message):
    with pytest.raises(DataError, match=message):
        module(image_set(**changes))


def test_images_that_are_not_square_are_explained():
    with pytest.raises(DataError, match=r"images are 12 x 8, networks take squares. Set data.image_size"):
        module(image_set(height=12))


@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_constant_for_another_number_of_channels_is_explained(name):
    with pytest.raises(DataError, match=rf"data.{name}: has 1 number\(s\), the images 3 channel"):
        module(**{name: (0.5,)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch_share": 0.6, "select_share": 0.4}, "leave no image to train weights"),
        ({"std": (1.0, 0.0, 1.0)}, "every number is above 0"),
        ({"batch_size": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_contradict_are_explained(options, message):
    with pytest.raises(ValidationError, match=message):
        ImageConfig(**options)
