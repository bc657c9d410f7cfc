"""The export stage and its command: from a run to files, and every way in which that can be refused."""

import json
import shutil
from importlib.util import find_spec

import pytest
import torch

import nasforge
from nasforge.cli import run_command
from nasforge.errors import CheckpointError, RecipeError, RunError
from nasforge.exports.catalogue import FORMATS
from nasforge.files import read_json, write_json
from nasforge.images.in_memory import InMemoryImages
from nasforge.plugins import Registry
from nasforge.recipe import check
from support.tiny_recipe import tiny


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run whose recipe has an [export] table."""
    recipe = tiny(train={"epochs": 1})
    recipe["export"] = {"formats": ["pt2"], "images": 0, "batch_size": 6}
    return nasforge.run(recipe, out=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copied")


def test_the_stage_writes_what_the_recipe_names(finished):
    result = read_json(finished / "export" / "result.json")
    assert list(result["formats"]) == ["pt2"]
    entry = result["formats"]["pt2"]
    assert entry["images"] == result["source"]["images"] == 12
    assert entry["max_difference"] <= 1e-5
    assert entry["bytes"] == (finished / "export" / "network.pt2").stat().st_size
    tested = read_json(finished / "test" / "result.json")
    assert entry["accuracy"] == pytest.approx(tested["accuracy"])
    program = torch.export.load(finished / "export" / "network.pt2").module()
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(program(images), nasforge.load_network(finished)(images))


def test_the_stage_reads_test_images_after_the_test_stage_only(finished):
    rows = [json.loads(line) for line in (finished / "access.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows if row["split"] == "test"] == ["test", "export"]


def test_a_finished_export_is_skipped(copied):
    again = nasforge.run(copied)
    assert "export" in again.skipped
    assert again.was_finished


def test_the_command_adds_formats_to_a_finished_run(copied, capsys):
    assert run_command(["export", str(copied), "--format", "standalone", "--images", "5"]) == 0
    printed = capsys.readouterr().out
    assert "standalone" in printed
    assert "on 5 test images" in printed
    result = read_json(copied / "export" / "result.json")
    assert list(result["formats"]) == ["pt2", "standalone"]
    assert (copied / "export" / "standalone" / "model.py").is_file()
    assert "export" in nasforge.run(copied).skipped, "the stage of the recipe stays done"


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="nasforge[export] is not installed")
@pytest.mark.slow
def test_preprocessing_inside_gives_the_accuracy_of_the_run(copied):
    found = nasforge.export(copied, ["onnx-uint8", "onnx-int8"], images=0)["formats"]
    tested = read_json(copied / "test" / "result.json")
    assert found["onnx-uint8"]["accuracy"] == pytest.approx(tested["accuracy"])
    assert found["onnx-int8"]["source_accuracy"] == pytest.approx(tested["accuracy"])


def test_a_run_without_an_export_table_has_no_export(tmp_path):
    assert not (nasforge.run(tiny(train=None), out=tmp_path).folder / "export").exists()


def test_a_run_without_training_cannot_be_exported(tmp_path):
    folder = nasforge.run(tiny(train=None), out=tmp_path).folder
    with pytest.raises(RunError, match=r"no trained network yet, because its recipe has no \[train\] table"):
        nasforge.export(folder)
    recipe = {**tiny(train=None), "export": {}}
    with pytest.raises(RecipeError, match=r"export: needs a \[train\] table"):
        check(recipe, Registry.discover())


def test_an_unfinished_run(copied):
    (copied / "test" / "result.json").unlink()
    with pytest.raises(RunError, match=r"is not finished, the test stage is missing. Finish it: nasfo"):
        nasforge.export(copied)


def test_classes_that_changed(copied, monkeypatch):
    monkeypatch.setattr(InMemoryImages, "class_names", ("cow", "dog"))
    with pytest.raises(RunError, match=r"data: the classes .* have changed.*'cow', 'dog' is new. Restore"):
        nasforge.export(copied, ["pt2"])


@pytest.mark.parametrize(
    ("stage", "changed", "told"),
    [
        ("derive", {"architecture": [1]}, "'architecture' is wrong"),
        ("export", {"formats": 3}, "'formats' is"),
    ],
)
def test_a_damaged_result(copied, stage, changed, told):
    path = copied / stage / "result.json"
    write_json(path, {**read_json(path), **changed})
    with pytest.raises(CheckpointError, match=f"{stage}/result.json: {told}.* Delete it to do its stage"):
        nasforge.export(copied)


def test_something_else_than_a_run(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder \(no resolved.json\)"):
        nasforge.export(tmp_path)


def test_a_run_of_another_format(copied):
    resolved = read_json(copied / "resolved.json")
    write_json(copied / "resolved.json", {**resolved, "space": {"use": "darts", "cellz": 3}})
    with pytest.raises(RecipeError, match=r"space.cellz: no such option"):
        nasforge.export(copied)


def test_unknown_formats(copied, capsys):
    assert run_command(["export", str(copied), "-f", "onxx"]) == 1
    assert "--format onxx: there is no such format. Did you mean 'onnx'?" in capsys.readouterr().err
    with pytest.raises(RecipeError, match=r"formats.*Did you mean 'onnx'"):
        check({**tiny(), "export": {"formats": ["onxx"]}}, Registry.discover())


def test_a_format_that_fails_is_shown_and_the_others_are_written(copied, monkeypatch, capsys):
    monkeypatch.setattr("nasforge.exports.format.find_spec", lambda name: None)
    assert run_command(["export", str(copied), "-f", "onnx", "-f", "pt2"]) == 1
    shown = capsys.readouterr()
    assert "pip install 'nasforge[export]'" in shown.err
    assert "pt2" in shown.out


class Wrong(type(FORMATS["pt2"])):
    """Computes something else than the network."""

    def open(self, path):
        call = super().open(path)
        return lambda images: call(images) + 1


def test_a_file_that_disagrees_is_an_error_and_kept_aside(copied, monkeypatch):
    monkeypatch.setitem(FORMATS, "pt2", Wrong())
    with pytest.raises(
        RunError, match=r"export: pt2 differs from the network by 1 in a logit.*kept as .*reje"
    ):
        nasforge.export(copied, ["pt2", "standalone"])
    assert (copied / "export" / "rejected" / "network.pt2").is_file()
    assert not (copied / "export" / "network.pt2").exists()
    stored = read_json(copied / "export" / "result.json")["formats"]
    assert stored["pt2"]["rejected"]
    assert stored["standalone"]["max_difference"] <= 1e-5, "the other formats are written and stored"
    assert (copied / "export" / "standalone" / "model.py").is_file()


def test_the_command_shows_the_other_formats_beside_one_that_disagrees(copied, monkeypatch, capsys):
    monkeypatch.setitem(FORMATS, "pt2", Wrong())
    assert run_command(["export", str(copied), "-f", "pt2", "-f", "standalone"]) == 1
    shown = capsys.readouterr()
    assert "error: pt2: differs from the network by 1 in a logit" in shown.err
    assert "Do not use it, and please report it." in shown.err
    assert "standalone" in shown.out


def test_a_run_ends_with_an_error_after_all_else_is_stored(tmp_path, monkeypatch):
    recipe = {**tiny(train={"epochs": 1}), "export": {"formats": ["pt2", "standalone"], "images": 6}}
    recipe["run"] = {**recipe.get("run", {}), "report": True}
    with monkeypatch.context() as patched:
        patched.setitem(FORMATS, "pt2", Wrong())
        with pytest.raises(RunError, match=r"pt2 differs from the network.*All other results are stored"):
            nasforge.run(recipe, out=tmp_path)
        (folder,) = tmp_path.iterdir()
        with pytest.raises(RunError, match=r"pt2 differs"):
            nasforge.run(folder)  # it stays an error
    assert "pt2" in (folder / "report.html").read_text()
    assert "max_difference" in read_json(folder / "export" / "result.json")["formats"]["standalone"]
    nasforge.export(folder, ["pt2"])
    assert nasforge.run(folder).was_finished


def test_another_training_sets_earlier_files_aside(copied):
    stored = read_json(copied / "train" / "result.json")
    write_json(copied / "train" / "result.json", {**stored, "fingerprint": "of another training"})
    nasforge.export(copied, ["pt2"])
    assert (copied / "export.1" / "network.pt2").is_file()
    assert (copied / "export" / "network.pt2").is_file()


def test_json_of_the_command(copied, capsys):
    assert run_command(["export", str(copied), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) >= {"formats", "source"}
    assert found["formats"]["pt2"]["file"] == "network.pt2"


def test_a_format_that_fails_in_a_run_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("nasforge.exports.format.find_spec", lambda name: None)
    recipe = {**tiny(train={"epochs": 1}), "export": {"formats": ["onnx", "pt2"]}}
    with pytest.warns(UserWarning, match=r"onnx was not written \(.*--format onnx tries again\): needs.*pip"):
        result = nasforge.run(recipe, out=tmp_path)
    assert "failed" in result.results["export"]["formats"]["onnx"]
    assert (result.folder / "export" / "network.pt2").is_file()
