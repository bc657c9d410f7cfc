import pytest

from nasforge.config import read_descriptions
from nasforge.errors import DataError
from nasforge.plugins import Registry

NAMES = ("cifar10", "cifar100", "digits", "image-folder", "imagenet", "npz", "synthetic")


def test_all_data_plugins_are_found():
    assert set(NAMES) <= set(Registry.discover().names("data"))


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_described(name):
    config = Registry.discover().get("data", name).config
    read_descriptions(config)
    for option, field in config.model_fields.items():
        assert field.description, option


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_tiny_options_give_trainable_splits(name, loaded):
    made = loaded(name, **Registry.discover().get("data", name).tiny)
    for split in ("weights", "arch", "full", "test"):
        assert made.data.num_batches(split) == len(list(made.data.batches(split, augment=split != "test")))
        assert made.read(split, augment=False)[0].shape[1:] == (3, 8, 8)


def test_a_batch_larger_than_a_split_is_told_before_the_first_batch(loaded):
    made = loaded("synthetic", train_images=100, image_size=8)
    with pytest.raises(DataError, match=r"a batch of 64 images is larger than the split, which has 50"):
        made.data.batches("weights")
