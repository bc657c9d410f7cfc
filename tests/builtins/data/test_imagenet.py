import os
import warnings
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from nasforge.errors import DataError
from nasforge_plugins.data.imagenet.config import ImagenetConfig

SMALL = {"image_size": 8, "resize_size": 10, "batch_size": 4, "workers": 0}


def test_splits_and_task(loaded, photos):
    made = loaded("imagenet", root=photos, **SMALL).data
    assert made.sizes() == {"weights": 10, "arch": 10, "select": 0, "full": 20, "test": 6}
    assert (made.task.in_channels, made.task.image_size, made.task.num_classes) == (3, 8, 2)
    assert made.class_names == ("n01", "n02")
    parts = torch.cat([made.split_indices("weights"), made.split_indices("arch")])
    assert parts.sort().values.tolist() == list(range(20))


def test_batches_do_not_depend_on_the_number_of_workers(loaded, photos):
    alone = loaded("imagenet", root=photos, **SMALL)
    helped = loaded("imagenet", root=photos, **{**SMALL, "workers": 2})
    for augment in (True, False):
        for mine, other in zip(
            alone.read("weights", epoch=1, augment=augment),
            helped.read("weights", epoch=1, augment=augment),
            strict=True,
        ):
            assert torch.equal(mine, other)


def test_a_pass_is_a_function_of_seed_split_and_epoch(loaded, photos):
    made = loaded("imagenet", root=photos, **SMALL)
    first = made.read("weights", epoch=2)[0]
    torch.manual_seed(5)
    made.read("arch")
    assert torch.equal(made.read("weights", epoch=2)[0], first)
    assert not torch.equal(made.read("weights", epoch=3)[0], first)
    assert not torch.equal(
        loaded("imagenet", seed=1, root=photos, **SMALL).read("weights", epoch=2)[0], first
    )


def test_an_image_is_augmented_alike_in_any_batch_but_not_in_every_epoch(loaded, photos):
    made = loaded("imagenet", root=photos, **SMALL)
    assert torch.equal(made.read("full", batch_size=10)[0], made.read("full")[0])
    sums = [sorted(made.read("full", epoch=epoch)[0].sum((1, 2, 3)).tolist()) for epoch in (0, 1)]
    assert not set(sums[0]) & set(sums[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_leaves_the_global_generator_alone(loaded, photos, workers):
    made = loaded("imagenet", root=photos, **{**SMALL, "workers": workers})
    before = torch.get_rng_state()
    made.read("weights")
    assert torch.equal(torch.get_rng_state(), before)


def test_plain_images_are_scaled_and_cut_and_normalised(loaded, photos):
    for part in ("train", "val"):
        for word, colour in (("n01", (255, 0, 128)), ("n02", (0, 255, 128))):
            for file in (photos / part / word).iterdir():
                file.unlink()
            Image.new("RGB", (30, 20), colour).save(photos / part / word / "0.png")
    made = loaded("imagenet", root=photos, **SMALL)
    images, labels = made.read("test", augment=False)
    assert labels.tolist() == [0, 1]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (torch.tensor([1.0, 0.0, 128 / 255]) - mean) / std
    assert images.shape == (2, 3, 8, 8)
    assert torch.allclose(images[0], expected.view(3, 1, 1).expand(3, 8, 8), atol=1e-5)


def test_training_images_vary_in_colour_only_if_wanted(loaded, photos):
    for part in ("train", "val"):
        for word in ("n01", "n02"):
            for file in (photos / part / word).iterdir():
                Image.new("RGB", (16, 16), (200, 100, 50)).save(file.with_suffix(".png"))
                file.unlink()
    colours = loaded("imagenet", root=photos, **SMALL).read("full")[0][:, :, 0, 0]
    assert len(colours.unique(dim=0)) > 10
    plain = loaded("imagenet", root=photos, **SMALL, color_jitter=0, hue_jitter=0).read("full")[0]
    assert len(plain[:, :, 0, 0].unique(dim=0)) == 1


def test_a_search_pass_reads_a_share_of_its_split_others_each_time(loaded, photos):
    made = loaded("imagenet", root=photos, **SMALL, sample_share=0.4)
    assert made.data.num_batches("weights") == 1
    passes = [made.read("weights", epoch=epoch) for epoch in range(3)]
    assert [len(labels) for _, labels in passes] == [4, 4, 4]
    assert made.data.num_batches("full") == 5
    assert len(made.read("full")[1]) == 20
    assert len(made.read("arch", augment=False)[1]) == 10


def test_limits_balance_the_classes(loaded, photos):
    made = loaded("imagenet", root=photos, **SMALL, limit_train=8, limit_test=2)
    assert made.data.sizes() == {"weights": 4, "arch": 4, "select": 0, "full": 8, "test": 2}
    assert torch.bincount(made.read("full")[1]).tolist() == [4, 4]
    assert made.read("test", augment=False)[1].tolist() == [0, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_all_corrupt_images_are_named(loaded, photos, workers):
    (photos / "train/n02/3.JPEG").write_bytes(b"no image")
    made = loaded("imagenet", root=photos, **{**SMALL, "workers": workers})
    (photos / "val/n01/0.JPEG").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="n02/3.JPEG' cannot be read .* All images are read now"),
        pytest.raises(DataError) as raised,
    ):
        made.read("full")
    text = str(raised.value)
    assert text.startswith("data.root: 2 of 26 images cannot be read:\n  - ")
    assert "n02/3.JPEG" in text
    assert "val/n01/0.JPEG" in text
    assert "Traceback" not in text
    with pytest.raises(DataError, match="2 of 26 images"):
        made.data.verify()


def test_broken_images_can_be_left_out(loaded, photos, tmp_path):
    (photos / "train/n02/3.JPEG").write_bytes(b"no image")
    for _ in range(2):  # decoded, then remembered
        with pytest.warns(UserWarning, match="1 of 20 images cannot be read:\n  - '.*n02/3.JPEG'"):
            made = loaded("imagenet", root=photos, **SMALL, skip_broken=True)
        assert made.data.sizes()["full"] == 19
        assert torch.bincount(made.read("full", augment=False)[1]).tolist() == [10, 9]
        made.data.verify()
    assert len(list((tmp_path / "cache/imagenet").iterdir())) == 2
    for file in (photos / "train/n02").iterdir():
        file.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="10 of 20 images"),
        pytest.raises(DataError, match=r"no image of class 'n02' in '.*train' can be read"),
    ):
        loaded("imagenet", root=photos, **SMALL, skip_broken=True)


def test_a_batch_larger_than_a_split_is_explained(loaded, photos):
    made = loaded("imagenet", root=photos, **{**SMALL, "batch_size": 11})
    with pytest.raises(DataError, match=r"a batch of 11 images is larger than the split, which has 10"):
        made.data.batches("arch")


def test_missing_folders_are_explained(loaded, photos, tmp_path):
    with pytest.raises(DataError, match=r"no folder '.*train'"):
        loaded("imagenet", root=tmp_path / "nowhere")
    (photos / "val/n02").rename(photos / "val/n03")
    with pytest.raises(DataError, match=r"'n02', which '.*val' lacks"):
        loaded("imagenet", root=photos, **SMALL)


def test_processes_live_through_the_passes(loaded, photos):
    made = loaded("imagenet", root=photos, **{**SMALL, "workers": 1})

    def processes() -> list[int]:
        loader = made.data._loaders["full"]._loader
        return [worker.pid for worker in loader._iterator._workers]

    first = made.read("full", epoch=0)[0]
    before = processes()
    interrupted = made.data.batches("full", epoch=1)
    next(interrupted)
    interrupted.close()
    assert torch.equal(made.read("full", epoch=0)[0], first)
    assert processes() == before
    assert os.getpid() not in before


def test_two_passes_over_a_split_at_the_same_time(loaded, photos):
    made = loaded("imagenet", root=photos, **SMALL)
    pairs = zip(made.data.batches("full", epoch=0), made.data.batches("full", epoch=1), strict=True)
    one, other = zip(*((a[0], b[0]) for a, b in pairs), strict=True)
    assert torch.equal(torch.cat(one), made.read("full", epoch=0)[0])
    assert torch.equal(torch.cat(other), made.read("full", epoch=1)[0])


def test_unset_workers_are_one_per_core(loaded, photos):
    made = loaded("imagenet", root=photos, **{**SMALL, "workers": None})
    assert made.data._workers == len(os.sched_getaffinity(0))


def test_a_published_subset_has_its_share_of_each_class(loaded, photos):
    options = {**SMALL, "batch_size": 1, "subset": "pc-darts"}
    made = loaded("imagenet", root=photos, **options)
    assert made.data.sizes() == {"weights": 2, "arch": 2, "select": 0, "full": 20, "test": 6}
    drawn = [made.data.split_indices(split).tolist() for split in ("weights", "arch")]
    assert not set(drawn[0]) & set(drawn[1])
    assert made.data.class_counts("weights") == made.data.class_counts("arch") == (1, 1)
    assert len(made.read("weights")[1]) == 2
    held = loaded("imagenet", root=photos, **options, holdout_share=0.4).data
    used = {i for split in ("weights", "arch") for i in held.split_indices(split).tolist()}
    assert not used & set(held.split_indices("holdout").tolist())
    with pytest.raises(ValidationError, match="has no split select"):
        ImagenetConfig(root=photos, subset="pc-darts", select_share=0.1)


def test_training_images_that_are_test_images_are_reported(loaded, photos, monkeypatch):
    val = sorted((photos / "val").rglob("*.JPEG"))
    (photos / "train/n01/copy.JPEG").write_bytes(val[0].read_bytes())
    (photos / "train/n01/soft.JPEG").symlink_to(val[1])
    (photos / "train/n02/hard.JPEG").hardlink_to(val[2])
    with pytest.warns(UserWarning, match=r"data\.root: 3 training images are test images as well"):
        loaded("imagenet", root=photos, **SMALL)
    monkeypatch.setattr("nasforge_plugins.data.imagenet.data.FEW", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = loaded("imagenet", root=photos, **SMALL).data
    with pytest.warns(UserWarning, match="3 training images are test images"):
        made.verify()


def test_photos_can_be_sent_to_a_spawned_process(loaded, photos):
    made = loaded("imagenet", root=photos, cached_side=12, **SMALL)
    made.read("weights")
    reader = made.data._loader("weights", True)._photos
    assert reader.resized is not None
    copied = ForkingPickler.loads(ForkingPickler.dumps(reader))
    for key in ((3, None), (3, 5)):
        assert torch.equal(copied[key][0], reader[key][0])
