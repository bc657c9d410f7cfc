"""Files of every sort are read, and damaged ones are told by name."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import torch
from nasforge.errors import DataError
from nasforge.images import ImageSet

from idx_files.config import IdxFilesDataConfig
from idx_files.data import IdxFilesData
from idx_files.idx import read_idx, write_idx


def load(**options: Any) -> ImageSet:
    return IdxFilesData(IdxFilesDataConfig(**options)).load()


def test_the_four_files_are_read(folder: Path) -> None:
    images = load()
    assert images.train_images.shape == (200, 8, 8, 1)
    assert images.test_labels.shape == (100,)
    assert images.classes == tuple("0123456789")


def test_files_may_be_unpacked_and_named_with_a_dot(folder: Path) -> None:
    before = load()
    for path in folder.glob("*.gz"):
        name = path.name.removesuffix(".gz").replace("-idx", ".idx")
        (folder / name).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    after = load(root=folder)
    assert torch.equal(before.train_images, after.train_images)


def test_letters_of_emnist_are_turned_and_start_at_zero(folder: Path) -> None:
    lying = torch.arange(4 * 4 * 4, dtype=torch.uint8).view(4, 4, 4)
    for part in ("train", "test"):
        write_idx(folder / f"emnist-letters-{part}-images-idx3-ubyte.gz", lying)
        write_idx(folder / f"emnist-letters-{part}-labels-idx1-ubyte.gz", torch.tensor([1, 2, 2, 1]).byte())
    images = load(subset="letters", upright=True, classes=("a", "b"))
    assert torch.equal(images.train_images[0, :, :, 0], lying[0].T)
    assert images.train_labels.tolist() == [0, 1, 1, 0]
    assert images.classes == ("a", "b")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    numbers = torch.randint(0, 256, (5, 3, 2), dtype=torch.uint8)
    for name in ("a", "a.gz"):
        write_idx(tmp_path / name, numbers)
        assert torch.equal(read_idx(tmp_path / name, 3), numbers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!doctype html>", "is no IDX file"),
        (b"", "is no IDX file"),
        (b"\0\0\x08\x01\0\0\0\x02\1\2", "in 1 dimension.*Were images and labels mixed up"),
        (b"\0\0\x0d\x03", "type 0x0d"),
        (b"\0\0\x08\x03\0\0", "ends before its shape"),
        (b"\0\0\x08\x03" + b"\0\0\0\2" * 3 + b"1234567", "says it holds 2 x 2 x 2 bytes, but has 7"),
    ],
)
def test_damaged_files_are_told(folder: Path, content: bytes, message: str) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte' .*{message}"):
        load()


def test_a_torn_archive_is_told(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz' cannot be read"):
        load()


def test_missing_files_and_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no file 'train-images-idx3-ubyte' or .* set data.root"):
        load(root=tmp_path)
    with pytest.raises(DataError, match=r"data.classes: 2 name\(s\) for labels up to 9"):
        load(classes=("a", "b"))
