"""Bugs planted in sound data: the kit finds each, and says what it is."""

from dataclasses import replace

import pytest
import torch

from nasforge.space import Task
from nasforge.testing.parts import TinyData
from support.planting import assert_caught, assert_sound, plugin_of


class Altered(TinyData):
    """Changes what the sound data gives, batch by batch."""

    def alter(self, split, epoch, augment, images, labels):
        return images, labels

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        for images, labels in super().batches(split, epoch=epoch, augment=augment, batch_size=batch_size):
            yield self.alter(split, epoch, augment, images, labels)


class DoublePrecision(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return images.double(), labels


class LabelsFromOne(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return images, labels + 1


class LabelsAsColumn(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return images, labels[:, None]


class NotANumber(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return images / 0.0, labels


class GlobalNoise(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return (images + torch.randn_like(images), labels) if augment else (images, labels)


class PlainIsAugmented(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return images * (1 + epoch), labels


class LabelsOfOthers(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return (images, (labels + 1) % 3) if split == "arch" else (images, labels)


class OtherTask(TinyData):
    @property
    def task(self):
        return Task(3, 16, 3)


class SameEveryEpoch(TinyData):
    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        return super().batches(split, augment=augment, batch_size=batch_size)


class SameForEverySeed(TinyData):
    def setup(self, ctx):
        super().setup(replace(ctx, seed=0))


class ForgetsItsStage(TinyData):
    def setup(self, ctx):
        super().setup(replace(ctx, splits=None))


class OneStream(TinyData):
    """Order comes from one generator that goes on from pass to pass."""

    def setup(self, ctx):
        super().setup(ctx)
        self.passes = 0

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        self.passes += 1
        return super().batches(split, epoch=self.passes, augment=augment, batch_size=batch_size)


class DropsTheRest(TinyData):
    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        whole = list(super().batches(split, epoch=epoch, augment=augment, batch_size=batch_size))
        return whole if augment else whole[:-1]


class CountsWrong(TinyData):
    def num_batches(self, split, *, batch_size=None):
        return super().num_batches(split, batch_size=batch_size) + (batch_size is None)


class CountsOtherClasses(TinyData):
    def class_counts(self, split):
        return super().class_counts("weights")


class ForgetsASplit(TinyData):
    def sizes(self):
        return {split: size for split, size in super().sizes().items() if split != "select"}


class Swapped(TinyData):
    source = ("arch", "weights")

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        split = self.source[1] if split == self.source[0] else split
        return super().batches(split, epoch=epoch, augment=augment, batch_size=batch_size)


class ArchIsWeights(Swapped):
    pass


class WeightsAreTest(Swapped):
    source = ("test", "weights")


class FullHasTest(TinyData):
    def sizes(self):
        return {**super().sizes(), "full": 56}

    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        yield from super().batches(split, epoch=epoch, augment=augment, batch_size=batch_size)
        if split == "full":
            yield from super().batches("test", epoch=epoch, augment=augment, batch_size=batch_size)


class IgnoresBatchSize(TinyData):
    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        return super().batches(split, epoch=epoch, augment=augment)


class AcceptsLargeBatches(TinyData):
    def batches(self, split, *, epoch=0, augment=True, batch_size=None):
        size = self.sizes()[split]
        return super().batches(
            split, epoch=epoch, augment=augment, batch_size=batch_size and min(batch_size, size)
        )


class NormalisesOtherwise(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return images * 1.1, labels


class SubtractsAnotherMean(Altered):
    def alter(self, split, epoch, augment, images, labels):
        return images - torch.tensor([0, 0.01, 0]).view(3, 1, 1), labels


class OtherSize(TinyData):
    @property
    def preprocessing(self):
        return replace(super().preprocessing, size=(8, 9))


class GrayForColour(TinyData):
    @property
    def preprocessing(self):
        return replace(super().preprocessing, channels="gray", mean=(0.5,), deviation=(0.2,), background=(0,))


class ListsInTheDescription(TinyData):
    @property
    def preprocessing(self):
        return replace(super().preprocessing, background=[255, 255, 255])


class OneNameTooFew(TinyData):
    class_names = ("dark", "grey")


class NameTwice(TinyData):
    class_names = ("dark", "grey", "dark")


class NumbersForNames(TinyData):
    class_names = (0, 1, 2)


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (DoublePrecision, "batches_fit_the_task", "float32"),
        (LabelsFromOne, "batches_fit_the_task", "labels go from"),
        (LabelsAsColumn, "batches_fit_the_task", "one per image"),
        (NotANumber, "batches_fit_the_task", "finite"),
        (OtherTask, "batches_fit_the_task", "(3, 16, 16)"),
        (GlobalNoise, "order_is_a_function_of_seed_split_epoch", "epoch 1 under one seed differ"),
        (OneStream, "order_is_a_function_of_seed_split_epoch", "epoch 1 under one seed differ"),
        (SameEveryEpoch, "epochs_differ", "another epoch"),
        (SameForEverySeed, "epochs_differ", "another seed"),
        (PlainIsAugmented, "plain_passes_are_plain", "depend on the epoch"),
        (DropsTheRest, "sizes_are_true", "sizes() says"),
        (CountsWrong, "sizes_are_true", "num_batches() says"),
        (CountsOtherClasses, "sizes_are_true", "class_counts() says"),
        (ForgetsASplit, "sizes_are_true", "must name the splits"),
        (ArchIsWeights, "splits_are_disjoint", "'weights' and 'arch' share 16"),
        (WeightsAreTest, "splits_are_disjoint", "'test'"),
        (FullHasTest, "splits_are_disjoint", "'full' has 56"),
        (ForgetsItsStage, "stages_limit_what_is_read", "Call super().setup(ctx)"),
        (LabelsOfOthers, "labels_belong_to_images", "'arch': 16"),
        (IgnoresBatchSize, "batch_size_is_respected", "batches of 8"),
        (AcceptsLargeBatches, "batch_size_is_respected", "Raise DataError"),
        (NormalisesOtherwise, "preprocessing_is_true", "largest difference"),
        (SubtractsAnotherMean, "preprocessing_is_true", "largest difference"),
        (OtherSize, "preprocessing_is_true", "(8, 9)"),
        (GrayForColour, "preprocessing_is_true", "1 channels"),
        (ListsInTheDescription, "preprocessing_is_true", "from_json"),
        (OneNameTooFew, "classes_have_names", "has 2 names"),
        (NameTwice, "classes_have_names", "twice"),
        (NumbersForNames, "classes_have_names", "tuple of texts"),
    ],
)
def test_data(target, name, words):
    assert_caught(plugin_of("data", target), name, words)


def test_the_data_without_bugs_are_sound():
    assert_sound(plugin_of("data", TinyData))
