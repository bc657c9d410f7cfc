"""What a run does stage by stage: results, skipping, the lock on test images, failures."""

import json
from pathlib import Path

import pytest

import nasforge
from nasforge.errors import RunError
from nasforge.observer import Observer
from nasforge.recipe import check
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime, checkpoint
from nasforge.stages.runner import Run, run_stages
from support.odd_plugins import registry
from support.tiny_recipe import tiny


class Listener(Observer):
    def __init__(self):
        self.events = []

    def stage_end(self, stage, result, skipped):
        self.events.append((stage, "skipped" if skipped else "done"))

    def step(self, stage, step, metrics, arch):
        self.events.append((stage, step))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_odd(recipe, folder: Path, listener: Observer) -> None:
    """Run a recipe that uses plugins of `odd_plugins`, which are not installed."""
    loaded = check(recipe, registry())
    run_folder = RunFolder(folder)
    run_folder.claim(loaded.resolved(), "")
    run_stages(Run(loaded, run_folder, Runtime.create("cpu"), listener))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return nasforge.run(tiny(), out=out)


def test_every_file_of_a_run_is_there(finished):
    written = {str(p.relative_to(finished.folder)) for p in finished.folder.rglob("*") if p.is_file()}
    assert written >= {
        "recipe.toml",
        "resolved.json",
        "environment.json",
        "metrics.jsonl",
        "access.jsonl",
        "search/result.json",
        "derive/arch.json",
        "derive/front.json",
        "train/weights.safetensors",
        "train/result.json",
        "test/result.json",
    }


def test_the_last_result_says_everything_about_the_network(finished):
    result = json.loads((finished.folder / "test" / "result.json").read_text())
    assert result["notation"].startswith("Genotype(normal=[('sep_conv_3x3', 0)")
    assert result["architecture"]["normal/node0/inputs"]
    assert result["params"] > 0
    assert result["macs"] > 0
    assert 0 <= result["accuracy"] <= result["accuracy_best"] <= 100
    assert set(result["seconds_per_stage"]) == {"search", "derive", "train", "test"}
    assert result == finished.results["test"]


def test_the_environment_is_noted(finished):
    environment = json.loads((finished.folder / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["versions"]["torch"]
    assert environment["device"] == "cpu" or environment["accelerator"]
    assert environment["plugins"]


def test_only_the_test_stage_reads_the_test_images(finished):
    rows = lines(finished.folder / "access.jsonl")
    assert {(row["stage"], row["split"]) for row in rows} == {("train", "full"), ("test", "test")}


def test_metrics_hold_every_epoch_in_order(finished):
    rows = lines(finished.folder / "metrics.jsonl")
    assert [(row["stage"], row["step"]) for row in rows] == [("train", 1), ("train", 2)]


def test_running_again_skips_what_is_done(finished):
    listener = Listener()
    before = (finished.folder / "train" / "weights.safetensors").stat().st_mtime_ns
    again = nasforge.run(tiny(), out=finished.folder.parent, observers=[listener])
    assert listener.events == [(stage, "skipped") for stage in ("search", "derive", "train", "test")]
    assert again.results == finished.results
    assert (finished.folder / "train" / "weights.safetensors").stat().st_mtime_ns == before


def test_a_run_folder_goes_on_by_its_path(finished):
    assert nasforge.run(finished.folder).results == finished.results


def test_another_recipe_in_the_same_folder_is_refused(finished):
    with pytest.raises(RunError, match=r"train\.epochs: 2 in the folder, 3 now"):
        nasforge.run(tiny(train={"epochs": 3}), out=finished.folder.parent)


def test_an_update_redoes_only_what_depends_on_the_change(tmp_path):
    recipe = tiny(
        searcher={"use": "random", "evaluations": 1},
        evaluator={"use": "train", "epochs": 1, "batch_size": 12},
    )
    recipe["train"]["epochs"] = 1
    nasforge.run(recipe, out=tmp_path)
    listener = Listener()
    recipe["train"]["epochs"] = 2
    nasforge.run(recipe, out=tmp_path, update=True, observers=[listener])
    ends = [event for event in listener.events if event[1] in ("done", "skipped")]
    assert ends == [("search", "skipped"), ("derive", "skipped"), ("train", "done"), ("test", "done")]
    assert (tmp_path / "tiny" / "train.1" / "result.json").exists()


def test_a_search_begins_anew_when_a_file_has_changed_under_its_name(tmp_path, monkeypatch):
    tables = {"data": None, "train": None, "space": {"use": "nasbench201"}, "evaluator": {"use": "tabular"}}
    recipe = tiny(**tables, searcher={"use": "random", "evaluations": 1})
    config = check(recipe, registry()).parts["evaluator"].config
    content = {}
    monkeypatch.setattr(type(config), "file_checksums", lambda self: content)
    nasforge.run(recipe, out=tmp_path)
    content["table"] = "a"
    with pytest.warns(UserWarning, match=r"search: made from other inputs, and set aside in 'search\.1'"):
        assert "search" not in nasforge.run(recipe, out=tmp_path).skipped
    assert nasforge.run(recipe, out=tmp_path).was_finished
    content["table"] = "b"
    with pytest.warns(UserWarning, match=r"set aside in 'search\.2'"):
        assert "search" not in nasforge.run(recipe, out=tmp_path).skipped


def test_a_searcher_that_reads_test_images_is_stopped_by_name(tmp_path):
    recipe = tiny(searcher={"use": "peeker"}, train=None)
    with pytest.raises(RunError, match="searcher 'peeker': asked for the 'test' images in the search stage"):
        run_odd(recipe, tmp_path / "x", Observer())
    assert checkpoint.load(tmp_path / "x" / "search" / "checkpoint.safetensors")["steps"] == 1


def test_steps_are_checkpointed_counted_and_kept(tmp_path):
    recipe, listener = tiny(searcher={"use": "stubborn"}, train=None), Listener()
    run_odd(recipe, tmp_path / "x", listener)
    assert listener.events == [
        ("search", 1),
        ("search", 2),
        ("search", 3),
        ("search", "done"),
        ("derive", "done"),
    ]
    stored = checkpoint.load(tmp_path / "x" / "search" / "checkpoint.safetensors")
    assert stored["steps"] == 3


def test_a_failing_observer_is_dropped_and_the_run_goes_on(tmp_path):
    class Broken(Observer):
        def stage_start(self, stage, done, total):
            raise ValueError("no screen")

    with pytest.warns(UserWarning, match="observer Broken failed and is dropped"):
        result = nasforge.run(tiny(train=None), out=tmp_path, observers=[Broken()])
    assert "derive" in result.results


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_good(tmp_path):
    recipe = tiny(train={"epochs": 6, "lr": 1e20, "clip": 0})
    with pytest.raises(RunError, match=r"train, epoch \d+, batch \d+: the loss is"):
        nasforge.run(recipe, out=tmp_path)
    assert (tmp_path / "tiny" / "derive" / "arch.json").exists()
    assert not (tmp_path / "tiny" / "train" / "result.json").exists()


def test_a_missing_device_leaves_no_folder(tmp_path):
    with pytest.raises(RunError, match=r"run\.device: 'cuda:77' cannot be used"):
        nasforge.run(tiny(), out=tmp_path, device="cuda:77")
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path):
    recipe = tiny(
        searcher={"use": "evolution", "evaluations": 4, "population": 2, "tournament": 1},
        evaluator={"use": "train", "epochs": 1, "batch_size": 12},
        train=None,
    )
    expected = nasforge.run(recipe, out=tmp_path / "whole")
    result = nasforge.run(recipe, out=tmp_path / "torn")
    (result.folder / "search" / "result.json").unlink()
    path = result.folder / "search" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="Resuming from the one before"):
        again = nasforge.run(recipe, out=tmp_path / "torn")
    assert again.results["search"]["architecture"] == expected.results["search"]["architecture"]
    rows = lines(result.folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
