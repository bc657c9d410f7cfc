"""Each process reads the images of its own shards, and together they read whole batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nasforge.component import Context
from nasforge.data import DataModule
from nasforge.errors import DataError
from nasforge.plugins import Registry
from nasforge.recipe import Part, parse_options
from nasforge.runs.build import build
from nasforge.runtime import Runtime
from nasforge.runtime.shards import Shards
from nasforge.space import SearchSpace
from support.photos import write_photos
from support.tiny_training import TinyData


def data(name: str, **options: Any) -> DataModule[Any]:
    plugin = Registry.discover().get("data", name)
    made: DataModule[Any] = build(Part("data", plugin, parse_options(plugin, options)))
    space: SearchSpace[Any] = SimpleNamespace()  # type: ignore[assignment]
    runtime = Runtime(torch.device("cpu"))
    made.setup(Context(space, runtime, 3, "search", lambda name: None, lambda values: None))
    return made


def shards(count: int, world: int, rank: int) -> Shards:
    return Shards(count, SimpleNamespace(size=world, rank=rank))  # type: ignore[arg-type]


def check(found: DataModule[Any], size: int, expected: list[int]) -> None:
    """Compare what four processes read with whole batches, whose numbers of images are expected."""
    whole = list(found.batches("weights", epoch=2, batch_size=size))
    passes = [
        list(found.shard_batches("weights", shards(4, 4, r), epoch=2, batch_size=size)) for r in range(4)
    ]
    together = [tuple(map(torch.cat, zip(*parts, strict=True))) for parts in zip(*passes, strict=True)]
    assert [len(labels) for _, labels in together] == expected
    for (images, labels), (all_images, all_labels) in zip(together, whole, strict=False):
        assert torch.equal(images, all_images[: len(labels)])
        assert torch.equal(labels, all_labels[: len(labels)])


def test_images_in_memory():
    options = {"image_size": 8, "train_images": 46, "test_images": 4, "arch_share": 0.0, "cutout": 3}
    check(data("synthetic", num_classes=2, **options), 12, [12, 12, 12, 8])


def test_photos_that_are_decoded_late(tmp_path):
    write_photos(tmp_path, train=6)
    (tmp_path / "test").rename(tmp_path / "val")
    found = data("imagenet", root=str(tmp_path), image_size=16, workers=0, arch_share=0.0)
    total = found.sizes()["weights"]
    check(found, 8, [8] * (total // 8))


def test_a_process_decodes_its_own_photos_only(tmp_path, monkeypatch):
    from nasforge.images.preprocessing import Preprocessing

    write_photos(tmp_path, train=6)
    (tmp_path / "test").rename(tmp_path / "val")
    found = data("imagenet", root=str(tmp_path), image_size=16, workers=0, arch_share=0.0)
    decoded = []
    decode = Preprocessing.decode
    monkeypatch.setattr(Preprocessing, "decode", lambda self, *a: decoded.append(a[0]) or decode(self, *a))
    batches = list(found.shard_batches("weights", shards(4, 2, 1), batch_size=8))
    assert len(decoded) == 4 * len(batches)


def test_data_that_knows_nothing_of_shards():
    check(TinyData(), 8, [8, 8, 8])
    with pytest.raises(DataError, match=r"a batch of 9 images does not divide into 4 equal shards"):
        check(TinyData(), 9, [])
