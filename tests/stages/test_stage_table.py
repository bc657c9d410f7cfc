"""Stages are objects: one more needs a class and a place in the tuple, and nothing else knows its name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nasforge
from nasforge.api import RunResult
from nasforge.benches.finished import read_folder
from nasforge.cli import run_command
from nasforge.cli.summary import print_summary
from nasforge.errors import RunError
from nasforge.files import read_json
from nasforge.observer import Observer, Observers
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.folder import RunFolder
from nasforge.runs.network import ARCHITECTURE, WEIGHTS
from nasforge.runs.scope import DERIVE, SEARCH, TEST, TRAIN, Scope
from nasforge.runtime import Runtime
from nasforge.stages import STAGES, Stage
from nasforge.stages.export import EXPORT
from nasforge.stages.runner import Run, run_stages
from nasforge_plugins.observers.progress.display import Bars, Lines
from support.tiny_recipe import tiny

CORE = Path(nasforge.__file__).parent


class Copy(Stage):
    """Copies the recipe into the folder of the stage."""

    scope = Scope("copy")

    def inputs(self, run):
        return {"recipe": run.recipe.text, "architecture": run.results["derive"]["architecture"]}

    def run(self, run, clock):
        run.folder.store_file(self.name, "copy.json", run.resolved)
        clock.save()
        return {"tables": len(run.resolved), "accuracy": 12.5}


class Refused(Copy):
    scope = Scope("refused")

    def check(self, run):
        raise RunError("nothing to copy")


class Optional(Copy):
    scope = Scope("optional")

    def needed(self, tables):
        return "train.distiller" in tables


class Listener(Observer):
    def __init__(self):
        self.events = []

    def stage_start(self, stage, done, total):
        self.events.append((stage, "start", done, total))

    def stage_end(self, stage, result, skipped):
        self.events.append((stage, "skipped" if skipped else "done"))


def run_with(stages, folder, *observers, **tables):
    loaded = check(tiny(**tables), Registry.discover())
    run_folder = RunFolder(folder)
    run_folder.claim(loaded.resolved(), loaded.text)
    run = Run(loaded, run_folder, Runtime.create("cpu"), Observers(observers))
    run_stages(run, stages)
    return run


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A run with one more stage, made and run again."""
    folder, listeners = tmp_path_factory.mktemp("runs") / "x", (Listener(), Listener())
    stages = (*STAGES, Copy())
    runs = [run_with(stages, folder, one, Lines(), Bars(), train=None) for one in listeners]
    return folder, runs, listeners


def test_a_stage_has_a_folder_and_a_result(twice):
    folder, (run, _), _ = twice
    assert list(run.results) == ["search", "derive", "copy"]
    assert read_json(folder / "copy" / "copy.json") == read_json(folder / "resolved.json")
    stored = read_json(folder / "copy" / "result.json")
    assert stored == run.results["copy"]
    assert list(stored) == ["stage", "tables", "accuracy", "seconds", "fingerprint"]
    assert read_json(folder / "copy" / "inputs.json") == {"fingerprint": stored["fingerprint"]}


def test_a_stage_is_skipped_the_second_time(twice):
    _, (first, second), _ = twice
    assert (first.skipped, second.skipped) == ([], ["search", "derive", "copy"])
    assert second.results == first.results


def test_observers_hear_of_a_stage(twice):
    _, _, (first, second) = twice
    assert first.events[-2:] == [("copy", "start", 0, None), ("copy", "done")]
    assert second.events == [(stage, "skipped") for stage in ("search", "derive", "copy")]


def test_other_inputs_set_a_stage_aside_and_repeat_it(tmp_path):
    stages = (*STAGES, Copy())
    run_with(stages, tmp_path / "x", train=None)

    class Changed(Copy):
        def inputs(self, run):
            return {**super().inputs(run), "version": 2}

    again = run_with((*STAGES, Changed()), tmp_path / "x", train=None)
    assert again.skipped == ["search", "derive"]
    assert (tmp_path / "x" / "copy.1" / "copy.json").exists()
    assert (tmp_path / "x" / "copy" / "copy.json").exists()


def test_the_summary_and_the_progress_take_any_name(twice, capsys):
    folder, (run, again), _ = twice
    print_summary(RunResult(folder, run.results))
    text = capsys.readouterr().out
    assert "accuracy    12.50 %" in text
    assert "\nnormal cell\n  0   = sep_conv_3x3(in0) + sep_conv_3x3(in1)\n" in text
    assert f"copy {run.results['copy']['seconds']:.1f}" in text
    assert RunResult(folder, again.results, frozenset(again.skipped)).was_finished
    run_with((*STAGES, Copy()), folder, Lines(), train=None)
    assert "copy: was done before" in capsys.readouterr().out.splitlines()


def test_help_and_comparisons_do_not_depend_on_the_stages(twice, monkeypatch, capsys):
    folder, _, _ = twice
    monkeypatch.setattr("nasforge.benches.finished.STAGES", (*STAGES, Copy()))
    assert len(read_folder(folder)) == 1
    assert run_command(["run", "--help"]) == 0
    assert "RECIPE" in capsys.readouterr().out


def test_a_stage_may_be_absent(tmp_path):
    run = run_with((*STAGES, Optional()), tmp_path / "x", train=None)
    assert list(run.results) == ["search", "derive"]
    assert not (tmp_path / "x" / "optional").exists()


def test_a_refused_stage_writes_nothing(tmp_path):
    with pytest.raises(RunError, match="nothing to copy"):
        run_with((*STAGES, Refused()), tmp_path / "x", train=None)
    assert (tmp_path / "x" / "derive" / "result.json").exists()
    assert not (tmp_path / "x" / "refused").exists()


def test_the_table_of_stages():
    assert [stage.name for stage in STAGES] == ["search", "derive", "train", "test", "export"]
    assert [stage.scope for stage in STAGES] == [SEARCH, DERIVE, TRAIN, TEST, EXPORT]
    assert [stage.name for stage in STAGES if stage.needed({"space", "searcher"})] == ["search", "derive"]
    assert all(stage.needed({"space", "searcher", "train", "export"}) for stage in STAGES)
    assert not STAGES[-1].needed({"space", "searcher", "train"})
    assert [stage.name for stage in STAGES if stage.compared] == ["search", "derive", "test"]


def test_the_table_imports_no_torch():
    code = "import nasforge.stages, nasforge.benches.compare, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_splits_of_the_stages():
    assert {stage.name: set(stage.reads) for stage in STAGES} == {
        "search": {"weights", "arch", "select"},
        "derive": set(),
        "train": {"weights", "arch", "select", "full", "holdout"},
        "test": {"test"},
        "export": {"weights", "select", "test"},
    }


def test_a_run_has_the_files_that_loading_a_network_reads(tmp_path):
    result = nasforge.run(tiny(train={"epochs": 1}), out=tmp_path)
    assert (result.folder / "derive" / ARCHITECTURE).is_file()
    assert (result.folder / "train" / WEIGHTS).is_file()
    # The test stage finds the network in the slots of the training.
    assert not (result.folder / "test" / "slots").exists()
    assert any((result.folder / "train" / "slots").iterdir())


def test_no_other_module_names_a_stage():
    """Outside of the scopes a stage name stands as text only where it means a table, a split or a scale."""
    other_meanings = {
        "benches/finished.py": {"train"},  # a table
        "benches/run.py": {"train"},  # a table
        "cli/own_images.py": {"train", "test"},  # folders of images
        "cli/check.py": {"test"},  # a split
        "cli/init.py": {"train"},  # a folder of images
        "cli/inspect.py": {"search"},  # a scale
        "cli/installation.py": {"test"},  # an extra
        "data.py": {"test"},  # a split
        "images/in_memory.py": {"test"},
        "images/splits.py": {"test"},
        "plugins/kinds.py": {"train"},  # a table
        "recipe/recipe.py": {"train"},
        "recipe/schema.py": {"train"},
        "runs/assembly.py": {"train"},
        "runs/out_of_memory.py": {"search"},  # a scale
        "runs/scope.py": {"search", "derive", "train", "test"},
        "space.py": {"search"},
        "stages/export.py": {"test"},  # a split
        "stages/test.py": {"train", "test"},
        "stages/train.py": {"train"},
        "tables/layout.py": {"test"},  # a split
        "testing/data.py": {"test"},
        "testing/networks.py": {"search"},
        "testing/parts.py": {"search", "test"},
        "testing/reduced.py": {"search"},
    }
    for path in CORE.rglob("*.py"):
        place = path.relative_to(CORE).as_posix()
        if place.startswith("plugins/templates"):
            continue
        tree = ast.parse(path.read_text(encoding="utf8"))
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        named = {name for name in ("search", "derive", "train", "test") if name in texts}
        assert named <= other_meanings.get(place, set()), place
