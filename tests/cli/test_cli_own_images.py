"""Data plugins that read a user's folder of images, built-in and others, and what they must return."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from nasforge.cli import run_command
from nasforge.cli.own_images import find_readers
from nasforge.errors import DataError
from nasforge.images.config import FolderConfig, FolderOption, FolderOptions, FoundImages, UserPath
from nasforge.plugins import Plugin, Registry
from nasforge.recipe import load
from support.photos import write_photos

REGISTRY = Registry.discover()


class PhotosConfig(FolderConfig):
    """Options of a plugin that reads every layout."""

    folder: UserPath
    """The folder of the images."""

    pixels: int = 8
    """Side of the images."""

    @classmethod
    def for_folder(cls, found, side):
        size = FolderOption("pixels", side + 1, "of a third party", by_size=True)
        return FolderOptions((FolderOption("folder", str(found.root), found.summary), size), "all layouts")


class BrokenConfig(FolderConfig):
    @classmethod
    def for_folder(cls, found, side):
        raise ZeroDivisionError("no side")


class SmallConfig(PhotosConfig):
    @classmethod
    def for_folder(cls, found, side):
        return super().for_folder(found, side) if side > 16 else None


def plugin(name, config):
    return Plugin("data", name, "nobody.there:Photos", config, origin="photos 1.0")


def install(monkeypatch, *plugins, without=()):
    kept = [known for known in REGISTRY if known.name not in without]
    registry = Registry([*kept, *plugins])
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: registry))
    return registry


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        for name in "abc":
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(8):
                Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / part / name / f"{i}.png")
    return tmp_path


def found(root, held_out):
    return FoundImages(root, ("a", "b", "c"), 24, 24 if held_out else 0, held_out, 40)


def names(readers):
    return [reader.plugin.name for reader in readers]


@pytest.mark.parametrize(
    ("held_out", "expected"), [("", "image-folder"), ("test", "image-folder"), ("val", "imagenet")]
)
def test_one_built_in_reads_each_layout(tmp_path, held_out, expected):
    assert names(find_readers(found(tmp_path, held_out), REGISTRY)) == [expected]


def test_another_plugin_is_asked_too(here, monkeypatch, capsys):
    install(monkeypatch, plugin("photos", PhotosConfig), without=("image-folder", "imagenet"))
    assert run_command(["init", "--images", ".", "--budget", "minutes"]) == 0
    assert "these read the folder as well" not in capsys.readouterr().out
    text = (here / "recipe.toml").read_text(encoding="utf8")
    assert 'use = "photos"             # all layouts' in text
    assert "pixels = 33                # of a third party" in text
    recipe = load("recipe.toml", Registry.discover())
    assert recipe.parts["data"].config == PhotosConfig(folder=here, pixels=33, batch_size=4)
    small = load("recipe.toml", Registry.discover(), profile="smoke").parts["data"].config
    assert (small.pixels, small.limit_train, small.limit_test) == (17, 24, 24)


def test_preferred_plugins_come_first_and_the_others_are_told(here, monkeypatch, capsys):
    registry = install(monkeypatch, plugin("a-photos", PhotosConfig))
    images = found(here, "test")
    assert names(find_readers(images, registry)) == ["a-photos", "image-folder"]
    assert names(find_readers(images, registry, ["image-folder"])) == ["image-folder", "a-photos"]
    assert run_command(["init", "--images", "."]) == 0
    out = capsys.readouterr().out
    assert "data plugin image-folder; these read the folder as well: a-photos" in out
    assert load("recipe.toml", registry).parts["data"].plugin.name == "image-folder"


def test_without_a_plugin_that_reads_them_nothing_is_written(here, monkeypatch, capsys):
    registry = install(monkeypatch, without=("image-folder", "imagenet"))
    with pytest.raises(
        DataError, match="no installed data plugin reads a folder with 'train'\\. Install one"
    ):
        find_readers(found(here, ""), registry)
    assert run_command(["init", "--images", "."]) == 1
    message = "no installed data plugin reads a folder with 'train' and 'test'. Install one"
    assert message in capsys.readouterr().err
    assert not (here / "recipe.toml").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BrokenConfig, "data 'photos' (photos 1.0): for_folder failed: ZeroDivisionError: no side."),
        (SmallConfig, "at 16 pixels. Use another plugin, or other images."),
    ],
)
def test_a_plugin_that_fails_is_named(here, monkeypatch, capsys, config, message):
    install(monkeypatch, plugin("photos", config), without=("image-folder",))
    assert run_command(["init", "--images", ".", "--budget", "minutes"]) == 2
    assert message in capsys.readouterr().err
    assert not (here / "recipe.toml").exists()


def test_a_space_without_a_width_cannot_be_made_narrower(here, monkeypatch, capsys):
    from nasforge.recipe import start

    shipped = start.read_start()
    other = shipped.model_copy(update={"width": start.Size(option="depth")})
    monkeypatch.setattr(start, "read_start", lambda: other)
    assert run_command(["init", "--max-params", "100000"]) == 2
    assert "has no 'depth' to choose. Leave --max-params out." in capsys.readouterr().err


def test_a_fifth_is_held_out_where_there_are_no_test_images(tmp_path):
    images = found(tmp_path, "")
    assert (images.left_to_train, images.left_to_test) == (19, 5)
    tested = dataclasses.replace(images, held_out="test", test=7)
    assert (tested.left_to_train, tested.left_to_test) == (24, 7)
    assert tested.summary == "24 training images in 3 classes"


def test_a_folder_alone_is_that_of_the_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "my photos", train=12, test=6, side=(20, 30))
    assert run_command(["init", "my photos"]) == 0
    assert "wrote my photos.toml" in capsys.readouterr().out
    assert load("my photos.toml", REGISTRY).run.name == "my-photos"


def test_a_name_without_toml_is_not_a_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["init", "fotos"]) == 2
    assert "fotos: 1 problem\n  - is not a folder of images" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
