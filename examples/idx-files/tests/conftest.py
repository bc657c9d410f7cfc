"""A small data set where the plugin looks for one: the digits of scikit-learn, in the files of MNIST."""

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from idx_files.idx import write_idx


def write_digits(folder: Path, ending: str = ".gz") -> None:
    digits = load_digits()
    images = torch.from_numpy(digits.images * 15).to(torch.uint8)
    labels = torch.from_numpy(digits.target).to(torch.uint8)
    for part, rows in (("train", slice(0, 200)), ("t10k", slice(200, 300))):
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", images[rows])
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", labels[rows])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))
    write_digits(tmp_path / "data" / "idx")
    return tmp_path / "data" / "idx"
