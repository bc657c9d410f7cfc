"""The recipes that ``nasforge init`` writes, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasforge.cli import run_command

GOLDEN = Path(__file__).parent / "golden" / "init"

SMALL, MEDIUM, LARGE = (40, 30), (64, 64), (300, 400)

FOLDERS = {
    "tested": {"train": ("abc", 10, SMALL), "test": ("abc", 4, SMALL)},
    "untested": {"train": ("abc", 10, MEDIUM)},
    "validated": {"train": ("abc", 10, SMALL), "val": ("abc", 3, SMALL)},
    "many": {"train": ("abcde", 100, (20, 20)), "test": ("abcde", 10, (20, 20))},
    "classes": {"train": ("abcdefghijklmnopqrstuvwxyz", 5, MEDIUM)},
    "large": {"train": ("ab", 8, LARGE), "test": ("ab", 4, LARGE)},
    "large-untested": {"train": ("ab", 10, LARGE)},
    "large-validated": {"train": ("ab", 8, LARGE), "val": ("ab", 4, LARGE)},
}
"""Classes, images of each, and their size, by folder."""

CASES = {
    "default": "",
    "smoke": "--budget smoke",
    "full": "--budget full --device cpu",
    "limited": "--max-params 60000",
    "full-limited": "--budget full --max-params 1000000 --name small",
    "generous": "--budget smoke --max-params 1000000000",
    "tested-smoke": "--images tested --budget smoke --device cpu",
    "tested-minutes": "--images tested",
    "tested-full": "--images tested --budget full --max-params 500000",
    "untested-smoke": "--images untested --budget smoke",
    "untested-minutes": "--images untested/train --max-params 50000",
    "validated-smoke": "--images validated --budget smoke --max-params 50000",
    "validated-minutes": "--images validated --device auto",
    "many-smoke": "--images many --budget smoke",
    "many-minutes": "--images many --name pets",
    "classes-smoke": "--images classes --budget smoke --max-params 100000",
    "classes-full": "--images classes --budget full",
    "large-minutes": "--images large",
    "large-full": "--images large --budget full",
    "large-untested-full": "--images large-untested --budget full --max-params 700000",
    "large-validated-full": "--images large-validated --budget full --device auto",
}
"""Arguments by the name of the file that holds the text."""


def draw(root):
    for name, parts in FOLDERS.items():
        for part, (classes, number, (width, height)) in parts.items():
            for label in classes:
                folder = root / name / part / label
                folder.mkdir(parents=True)
                image = Image.fromarray(np.zeros((height, width, 3), np.uint8))
                for i in range(number):
                    image.save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("a-folder-of-images")
    draw(root)
    return root


@pytest.mark.parametrize("case", CASES)
def test_the_text_is_what_it_was(case, images, monkeypatch):
    monkeypatch.chdir(images)
    assert run_command(["init", f"{case}.toml", *CASES[case].split()]) == 0
    text = (images / f"{case}.toml").read_text(encoding="utf8").replace(str(images), "HERE")
    assert text == (GOLDEN / f"{case}.toml").read_text(encoding="utf8")
