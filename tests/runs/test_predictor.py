"""Predictions with the trained network of a run: the same numbers as in its test stage."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nasforge
from nasforge.component import Context
from nasforge.errors import CheckpointError, DataError, InaccessibleError, RecipeError, RunError
from nasforge.files import read_json, write_json
from nasforge.plugins import Registry
from nasforge.runtime import Runtime
from nasforge.runtime.checkpoint import load_weights, save_weights
from support.photos import write_photos
from support.tiny_recipe import tiny


def folder_recipe(root, **data):
    options = {"use": "image-folder", "root": str(root), "image_size": 16, "batch_size": 8, "cache": False}
    return tiny(data=options | data, train={"epochs": 3, "batch_size": 7}, run={"name": "photos"})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("images") / "photos")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, photos):
    return nasforge.run(folder_recipe(photos), out=tmp_path_factory.mktemp("runs"))


def test_files(photos):
    return sorted((photos / "test").rglob("*.*"))


test_files.__test__ = False


def set_up(name, **options):
    plugin = Registry.discover().get("data", name)
    data = plugin.load()(plugin.config(**options))
    data.setup(Context(None, Runtime(torch.device("cpu")), 0, "search", None, None))
    return data


def accuracy(predictor, files):
    found = predictor(files)
    return 100 * sum(p.class_name == f.parent.name for p, f in zip(found, files, strict=True)) / len(files)


def test_the_reported_accuracy_is_reproduced(finished, photos):
    reported = finished.results["test"]["accuracy"]
    assert 0 < reported < 100  # so that a constant answer, or a wrong order of classes, shows
    assert accuracy(nasforge.load_predictor(finished.folder), test_files(photos)) == reported


@pytest.mark.parametrize(
    "options",
    [{"resize": "fit"}, {"resize": "stretch", "background": [0, 128, 255]}, {"mean": [0.5, 0.4, 0.3]}],
)
def test_the_reported_accuracy_is_reproduced_with_other_options(photos, tmp_path, options):
    run = nasforge.run(folder_recipe(photos, **options), out=tmp_path)
    reported = run.results["test"]["accuracy"]
    assert accuracy(nasforge.load_predictor(run.folder), test_files(photos)) == reported


def test_the_reported_accuracy_is_reproduced_in_bfloat16(photos, tmp_path):
    recipe = folder_recipe(photos)
    run = nasforge.run({**recipe, "run": {**recipe["run"], "precision": "bf16"}}, out=tmp_path)
    predictor = nasforge.load_predictor(run.folder)
    assert predictor.runtime.precision == "bf16"
    assert accuracy(predictor, test_files(photos)) == run.results["test"]["accuracy"]


def test_the_reported_accuracy_is_reproduced_from_bytes(tmp_path):
    options = {"use": "digits", "image_size": 8, "limit_train": 200, "limit_test": 60, "batch_size": 20}
    run = nasforge.run(tiny(data=options, train={"epochs": 4, "batch_size": 16}), out=tmp_path)
    reported = run.results["test"]["accuracy"]
    assert 0 < reported < 100
    data = set_up("digits", image_size=8, limit_test=60)
    predictor = nasforge.load_predictor(run.folder)
    right = count = 0
    mean, deviation = (
        torch.tensor(values).view(3, 1, 1)
        for values in (data.preprocessing.mean, data.preprocessing.deviation)
    )
    for images, labels in data.batches("test", augment=False):
        pixels = ((images * deviation + mean) * 255).round().to(torch.uint8)
        named = [predictor.class_names.index(found.class_name) for found in predictor(pixels)]
        right += sum(a == b for a, b in zip(named, labels.tolist(), strict=True))
        count += len(labels)
    assert 100 * right / count == reported


def test_logits_have_the_bits_of_the_test_stage(finished, photos):
    predictor = nasforge.load_predictor(finished.folder)
    assert predictor.batch_size == 7
    data = set_up("image-folder", root=photos, image_size=16, cache=False)
    batches = list(data.batches("test", augment=False, batch_size=7))
    files = test_files(photos)
    with torch.inference_mode():
        for start, (images, _) in enumerate(batches):
            some = files[7 * start : 7 * start + 7]
            pixels = torch.stack([predictor.preprocessing.read(file) for file in some])
            assert torch.equal(predictor.preprocessing.apply(pixels), images)
            assert torch.equal(predictor.logits(pixels), predictor.network(images).logits)


def test_files_pillow_images_and_tensors_agree(finished, photos):
    predictor = nasforge.load_predictor(finished.folder)
    path = photos / "test/red/1.jpg"  # stored sideways
    with Image.open(path) as image:
        by_image = predictor(image)
        upright = predictor.preprocessing.decode(image)
    assert by_image == predictor(path) == predictor(str(path)) == predictor([path])
    assert by_image == predictor(upright) == predictor(upright[None])
    (found,) = by_image
    assert found.class_name == next(iter(found.probabilities))
    assert set(found.probabilities) == {"blue", "green", "red"}
    assert found.probability == max(found.probabilities.values())
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-12)
    assert predictor([]) == []


def test_all_images_that_cannot_be_read_are_listed(finished, photos, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    good = photos / "test/red/0.jpg"
    with pytest.raises(DataError) as error:
        nasforge.load_predictor(finished.folder)(
            [
                tmp_path / "notes.txt",
                good,
                tmp_path / "empty.png",
                tmp_path / "none.jpg",
                torch.zeros(3, 8, 8),
            ]
        )
    text = str(error.value)
    assert text.startswith("predict: 4 of 5 images cannot be read:")
    for words in (
        "notes.txt': it is not an image",
        "empty.png",
        "none.jpg': No such file",
        "image 4",
        "float32",
    ):
        assert words in text


@pytest.mark.parametrize("images", [np.zeros((8, 8, 3), np.uint8), b"bytes", 7, None, torch.zeros(8, 8)])
def test_something_else_than_images_is_one_error(finished, images):
    with pytest.raises(
        DataError, match=r"predict: 1 of 1 images cannot be read:\n  - 'image 0': images: got"
    ):
        nasforge.load_predictor(finished.folder)(images)


def test_result_and_weights_describe_the_images(finished):
    result = json.loads((finished.folder / "test/result.json").read_text())
    _, about = load_weights(finished.folder / "train/weights.safetensors")
    assert about["class_names"] == result["class_names"] == ["blue", "green", "red"]
    assert about["preprocessing"] == result["preprocessing"]
    described = result["preprocessing"]
    assert (described["size"], described["resize"], described["channels"]) == ([16, 16], "crop", "rgb")
    assert (described["background"], described["exif"]) == ([255, 255, 255], True)
    assert all(0 < value < 1 for value in described["mean"] + described["deviation"])


def copy_of(folder, place):
    import shutil

    return Path(shutil.copytree(folder, place / folder.name))


def without(folder, *keys):
    weights = folder / "train/weights.safetensors"
    tensors, about = load_weights(weights)
    save_weights(weights, tensors, {k: v for k, v in about.items() if k not in keys})


def test_an_older_run_says_what_is_missing_and_its_remedy_works(finished, photos, tmp_path):
    old = copy_of(finished.folder, tmp_path)
    without(old, "class_names", "preprocessing")
    with pytest.raises(
        RunError, match=r"lacks class_names and preprocessing, because an older version"
    ) as error:
        nasforge.load_predictor(old)
    assert f"nasforge run {old}" in str(error.value)
    before = load_weights(old / "train/weights.safetensors")[0]
    (old / "train/result.json").unlink()
    (old / "test/result.json").unlink()
    again = nasforge.run(old)
    after = load_weights(old / "train/weights.safetensors")[0]
    assert all(torch.equal(before[name], after[name]) for name in before | after)
    assert accuracy(nasforge.load_predictor(old), test_files(photos)) == again.results["test"]["accuracy"]


def test_damaged_weights_are_written_anew_by_the_advice(finished, tmp_path):
    run = copy_of(finished.folder, tmp_path)
    weights = run / "train/weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-8])
    with pytest.raises(
        CheckpointError, match=r"is damaged: .*Delete result.json beside it and run the folder"
    ):
        nasforge.load_predictor(run)
    tensors, about = load_weights(finished.folder / "train/weights.safetensors")
    save_weights(weights, dict(list(tensors.items())[1:]), about)
    with pytest.raises(
        CheckpointError, match=r"does not fit the architecture .*Delete result.json beside it"
    ):
        nasforge.load_predictor(run)
    (run / "train/result.json").unlink()
    nasforge.run(run)
    assert weights.read_bytes() == whole


def test_weights_without_permission_are_not_to_be_written_anew(finished, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("nasforge.runtime.seal.refuse_special", refuse)  # root may read everything
    with pytest.raises(InaccessibleError, match="Change its permissions") as refused:
        nasforge.load_predictor(finished.folder)
    assert "Delete" not in str(refused.value)


def test_a_run_of_another_version_names_it(finished, tmp_path):
    run = copy_of(finished.folder, tmp_path)
    resolved = read_json(run / "resolved.json")
    write_json(run / "resolved.json", {**resolved, "space": {**resolved["space"], "cellz": 3}})
    with pytest.raises(RecipeError) as error:
        nasforge.load_predictor(run)
    assert len(error.value.problems) == 1, "this version has made it"
    write_json(run / "environment.json", {**read_json(run / "environment.json"), "nasforge": "0.0.7"})
    for use in (nasforge.load_predictor, nasforge.export, nasforge.run):
        with pytest.raises(
            RecipeError, match=r"cellz: no such option.*\n.*made with nasforge 0\.0\.7, whose"
        ):
            use(run)
    (run / "environment.json").write_text("{")
    with pytest.raises(RecipeError, match=r"1 problem\n.*cellz"):
        nasforge.load_predictor(run)


def test_a_run_without_training_says_so(tmp_path):
    run = nasforge.run(tiny(train=None), out=tmp_path)
    with pytest.raises(RunError, match=r"holds no trained network yet, because its recipe has no \[train\]"):
        nasforge.load_predictor(run.folder)


def test_an_unfinished_run_says_how_to_finish_it(finished, tmp_path):
    part = copy_of(finished.folder, tmp_path)
    (part / "train/weights.safetensors").unlink()
    with pytest.raises(RunError, match=r"no trained network yet: evaluator 'train' keeps none"):
        nasforge.load_predictor(part)
    (part / "train/result.json").unlink()
    with pytest.raises(RunError, match=r"no trained network yet. Finish it: nasforge run"):
        nasforge.load_predictor(part)
    with pytest.raises(RunError, match=r"is not a run folder"):
        nasforge.load_predictor(tmp_path)


def test_data_that_are_not_files_say_so(finished, tmp_path):
    run = copy_of(finished.folder, tmp_path)
    weights = run / "train/weights.safetensors"
    tensors, about = load_weights(weights)
    save_weights(weights, tensors, {**about, "preprocessing": None})
    with pytest.raises(RunError, match=r"its images do not come from image files"):
        nasforge.load_predictor(run)
    save_weights(weights, tensors, {**about, "class_names": ["a", "b"]})
    with pytest.raises(
        RunError, match=r"has 2 class names for 3 logits.*Delete result.json in .*nasforge run"
    ):
        nasforge.load_predictor(run)
    save_weights(weights, tensors, {**about, "preprocessing": {**about["preprocessing"], "gamma": 2}})
    with pytest.raises(DataError, match=r"'gamma' is missing or unknown"):
        nasforge.load_predictor(run)


def test_networks_of_other_channels_take_tensors_only(tmp_path):
    options = {"num_classes": 3, "image_size": 16, "train_images": 48, "test_images": 12, "in_channels": 2}
    run = nasforge.run(tiny(data=options, train={"epochs": 1}), out=tmp_path)
    predictor = nasforge.load_predictor(run.folder)
    assert len(predictor(torch.zeros(4, 2, 20, 30, dtype=torch.uint8))) == 4
    with pytest.raises(DataError, match=r"read 2 channels, which image files do not have"):
        predictor(Image.fromarray(np.zeros((8, 8, 3), np.uint8)))


def test_gray_networks_read_colour_files_as_gray(tmp_path):
    options = {"num_classes": 3, "image_size": 16, "train_images": 48, "test_images": 12, "in_channels": 1}
    run = nasforge.run(tiny(data=options, train={"epochs": 1}), out=tmp_path)
    predictor = nasforge.load_predictor(run.folder)
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    assert predictor(colour) == predictor(colour.convert("L"))


def test_a_misspelt_folder_gets_a_suggestion(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "resolved.json").write_text("{}")
    with pytest.raises(RunError, match=r"fotos: there is no such folder. Did you mean 'photos'\?"):
        nasforge.load_predictor(tmp_path / "fotos")
