import pytest
import torch
from pydantic import ValidationError

from nasforge.errors import DataError
from nasforge.images.config import SplitConfig
from nasforge.images.splits import Splits, balanced_order, limited


def splits(labels, *, seed=0, test_size=10, **options):
    return Splits(SplitConfig(**options), labels, test_size, seed)


def test_splits_are_disjoint_and_complete():
    made = splits(torch.arange(103) % 7, arch_share=0.4, select_share=0.1)
    assert made.sizes() == {"weights": 52, "arch": 41, "select": 10, "full": 103, "test": 10}
    parts = torch.cat([made.indices(name) for name in ("weights", "arch", "select")])
    assert torch.equal(parts.sort().values, made.indices("full"))


def test_balanced_splits_have_the_mix_of_classes_even_of_sorted_labels():
    labels = torch.arange(10).repeat_interleave(50)
    made = splits(labels, arch_share=0.5, select_share=0.2)
    for name, expected in (("weights", 15), ("arch", 25), ("select", 10)):
        assert torch.bincount(labels[made.indices(name)]).tolist() == [expected] * 10


def test_balanced_splits_keep_unequal_shares():
    labels = torch.tensor([0] * 90 + [1] * 10)
    for name in ("weights", "arch"):
        assert torch.bincount(labels[splits(labels).indices(name)]).tolist() == [45, 5]


def test_the_seed_draws_the_splits():
    labels = torch.arange(100) % 5
    assert torch.equal(splits(labels).indices("arch"), splits(labels).indices("arch"))
    assert not torch.equal(splits(labels).indices("arch"), splits(labels, seed=1).indices("arch"))


def test_splits_by_position_are_those_of_the_official_code():
    made = splits(torch.arange(10) % 2, split_by="position", select_share=0.1)
    assert made.indices("weights").tolist() == [0, 1, 2, 3]
    assert made.indices("arch").tolist() == [4, 5, 6, 7, 8]
    assert made.indices("select").tolist() == [9]


@pytest.mark.parametrize("counts", [(20, 20, 20), (50, 7, 3), (1, 0, 9)])
def test_every_stretch_of_a_balanced_order_is_balanced(counts):
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    order = balanced_order(labels, seed=4)
    assert torch.equal(order.sort().values, torch.arange(len(labels)))
    for start in range(0, len(labels), 5):
        for stop in range(start, len(labels) + 1, 5):
            found = torch.bincount(labels[order[start:stop]], minlength=3)
            expected = torch.tensor(counts) * (stop - start) / len(labels)
            assert (found - expected).abs().max() <= 1.5


def test_a_balanced_order_mixes_the_classes():
    labels = torch.arange(10).repeat_interleave(50)
    rounds = labels[balanced_order(labels, seed=0)].view(50, 10)
    assert all(sorted(r) == list(range(10)) for r in rounds.tolist())
    assert len({tuple(r) for r in rounds.tolist()}) > 40


def test_limited_keeps_the_stored_order():
    labels = torch.arange(20) % 4
    kept = limited(labels, 8)
    assert kept.tolist() == sorted(kept.tolist())
    assert torch.bincount(labels[kept]).tolist() == [2, 2, 2, 2]
    assert limited(labels, None).tolist() == list(range(20))


def bounds(total, size, training=True, share=1.0):
    made = splits(torch.arange(total) % 2, arch_share=0)
    return made.bounds("weights", size, training=training, share=share)


def test_the_last_short_batch_is_kept():
    assert len(bounds(25_000, 64)) == 391
    assert bounds(10, 4) == range(0, 10, 4)


def test_a_single_last_image_is_left_out_of_training_only():
    assert list(bounds(9, 4)) == [0, 4]
    assert bounds(9, 4).stop == 8
    assert list(bounds(9, 4, training=False)) == [0, 4, 8]
    assert len(bounds(9, 1)) == 9
    test = splits(torch.arange(10) % 2, test_size=9)
    assert list(test.bounds("test", 4, training=True)) == [0, 4, 8]


def test_a_share_of_a_pass():
    assert bounds(100, 10, share=0.2).stop == 20
    with pytest.raises(DataError, match="larger than the split"):
        bounds(100, 30, share=0.2)


@pytest.mark.parametrize(
    ("split", "options", "remedy"),
    [
        (
            "weights",
            {},
            r"has 50. Set batch_size to 50 or less. To enlarge the split, lower data.arch_share 0.5",
        ),
        ("arch", {"limit_train": 100}, r"raise data.arch_share 0.5 or raise data.limit_train 100"),
        ("select", {"select_share": 0.1}, r"raise data.select_share 0.1"),
        ("full", {}, r"add images"),
        ("test", {"limit_test": 10}, r"raise data.limit_test 10"),
    ],
)
def test_a_batch_larger_than_its_split_is_explained(split, options, remedy):
    made = splits(torch.arange(100) % 5, **options)
    with pytest.raises(DataError, match=rf"split '{split}': a batch of 101 images is larger.*{remedy}"):
        made.bounds(split, 101, training=True)
    assert len(made.bounds(split, 101, training=False)) == 1


def test_an_empty_split_is_explained():
    with pytest.raises(DataError, match=r"split 'select': has no image. .*raise data.select_share 0"):
        splits(torch.arange(100) % 5).bounds("select", None, training=True)


def test_a_batch_has_an_image():
    with pytest.raises(DataError, match="at least 1 image, got 0"):
        bounds(10, 0)


def test_held_out_images_are_in_no_other_split() -> None:
    labels = torch.arange(200) % 4
    plain = Splits(SplitConfig(arch_share=0.3, select_share=0.1), labels, 20, seed=3)
    assert "holdout" not in plain.sizes()
    made = Splits(SplitConfig(arch_share=0.3, select_share=0.1, holdout_share=0.2), labels, 20, seed=3)
    assert made.sizes() == {"weights": 80, "arch": 60, "select": 20, "full": 160, "test": 20, "holdout": 40}
    parts = [made.indices(name) for name in ("weights", "arch", "select")]
    assert torch.equal(torch.cat(parts).sort().values, made.indices("full"))
    everything = torch.cat([made.indices("full"), made.indices("holdout")])
    assert torch.equal(everything.sort().values, torch.arange(200))
    assert torch.bincount(labels[made.indices("holdout")]).tolist() == [10, 10, 10, 10]
    with pytest.raises(ValidationError, match=r"holdout_share 0.2 leave no image"):
        SplitConfig(arch_share=0.5, select_share=0.3, holdout_share=0.2)
