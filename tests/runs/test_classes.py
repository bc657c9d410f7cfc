"""Resumed runs whose classes have changed, which would be tested under the wrong names."""

import shutil

import pytest

import nasforge
from nasforge.errors import CheckpointError, RunError
from nasforge.files import read_json, write_json
from support.photos import write_photos
from support.tiny_recipe import tiny


def recipe(root):
    data = {"use": "image-folder", "root": str(root), "image_size": 16, "batch_size": 8, "cache": False}
    return tiny(data=data, train={"epochs": 1, "batch_size": 7}, run={"name": "photos"})


@pytest.fixture
def begun(tmp_path):
    """Return photos, and a run of them that has still to be tested."""
    photos = write_photos(tmp_path / "photos")
    folder = nasforge.run(recipe(photos), out=tmp_path / "runs").folder
    assert read_json(folder / "classes.json")["class_names"] == ["blue", "green", "red"]
    shutil.rmtree(folder / "test")
    return photos, folder


def rename(photos, old, new):
    for part in ("train", "test"):
        (photos / part / old).rename(photos / part / new)


def test_a_renamed_class_stops_the_test_until_it_is_restored(begun):
    photos, folder = begun
    rename(photos, "blue", "violet")
    with pytest.raises(
        RunError, match=r"data: .* since this run began: 'blue' is missing, 'violet' is new. Rest"
    ):
        nasforge.run(folder)
    assert not (folder / "test" / "result.json").exists()
    rename(photos, "violet", "blue")
    assert nasforge.run(folder).results["test"]["class_names"] == ["blue", "green", "red"]


def test_a_further_class_stops_the_test(begun):
    photos, folder = begun
    for part in ("train", "test"):
        shutil.copytree(photos / part / "red", photos / part / "pink")
    with pytest.raises(
        RunError, match=r"since this run began: 'pink' is new. Restore them, or make another run"
    ):
        nasforge.run(folder)


def test_other_images_by_update_may_have_other_classes(begun, tmp_path):
    photos, folder = begun
    others = shutil.copytree(photos, tmp_path / "others")
    rename(others, "blue", "violet")
    again = nasforge.run(folder, {"data.root": str(others)}, update=True)
    assert again.results["test"]["class_names"] == ["green", "red", "violet"]
    assert read_json(folder / "classes.json")["class_names"] == ["green", "red", "violet"]


def test_a_folder_of_an_older_version_is_not_judged(begun):
    photos, folder = begun
    (folder / "classes.json").unlink()
    rename(photos, "blue", "violet")
    nasforge.run(folder)
    assert not (folder / "classes.json").exists(), "the classes of now may be others"
    with pytest.raises(RunError, match=r"export: the classes .* 'blue' is missing, 'violet' is new"):
        nasforge.export(folder, ["pt2"])


def test_a_damaged_file_says_what_to_do(begun):
    _, folder = begun
    write_json(folder / "classes.json", {"class_names": "blue", "fingerprint": "x"})
    with pytest.raises(CheckpointError, match=r"classes.json: 'class_names' is wrong.*Delete it"):
        nasforge.run(folder)
