"""Observers on the command line: what is shown by default, what a recipe changes, and what is listed."""

import json

import pytest

from nasforge.cli import run_command
from nasforge.plugins import Registry

RECIPE = """\
[data]
use = "synthetic"
image_size = 8
train_images = 40
test_images = 20
batch_size = 8
[space]
use = "darts"
channels = 4
cells = 3
stem_multiplier = 1
[searcher]
use = "fixed"
arch = "DARTS_V1"
[run]
threads = 1
"""
BENCH = ["bench", "search_nasbench201_table", "--searchers", "random", "--seeds", "2", "--budget", "3"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path


def test_progress_is_shown_by_default_and_the_folder_does_not_say_so(here, capsys):
    assert run_command(["run", "small.toml"]) == 0
    assert "search: done in " in capsys.readouterr().out
    assert json.loads((here / "runs/small/resolved.json").read_text())["run"]["observers"] is None


@pytest.mark.parametrize("names", ["[]", "['jsonl']"])
def test_a_recipe_with_observers_has_no_others(here, capsys, names):
    assert run_command(["run", "small.toml", "--set", f"run.observers={names}"]) == 0
    out = capsys.readouterr().out
    assert "search: " not in out
    assert "normal cell" in out
    assert (here / "runs/small/events.jsonl").exists() == ("jsonl" in names)
    # A folder goes on as it was, unless it is told otherwise.
    assert run_command(["run", "runs/small"]) == 0
    assert "was done before" not in capsys.readouterr().out
    assert run_command(["run", "runs/small", "--set", 'run.observers=["progress"]']) == 0
    assert "search: was done before" in capsys.readouterr().out


def test_without_the_progress_plugin_a_run_is_quiet(here, capsys, monkeypatch):
    monkeypatch.setenv("NASFORGE_DISABLE", "observer-progress")
    assert run_command(["run", "small.toml"]) == 0
    shown, told = capsys.readouterr()
    assert ("search: " in shown, told) == (False, "")


def test_an_interrupted_run_leaves_the_terminal_as_it_was(here, capsys, monkeypatch):
    from nasforge_plugins.observers.progress.observer import Progress

    closed = []
    close = Progress.close
    monkeypatch.setattr(Progress, "close", lambda self: (closed.append(self), close(self)))
    monkeypatch.setattr(Progress, "stage_start", lambda *call: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run_command(["run", "small.toml"]) == 130
    assert len(closed) == 1
    assert "interrupted. The same command resumes" in capsys.readouterr().err


def test_a_wrong_observer_starts_nothing(here, capsys):
    assert run_command(["run", "small.toml", "--set", 'run.observers=["progess"]']) == 2
    told = capsys.readouterr().err
    assert "--set run.observers: no observer named 'progess'. Did you mean 'progress'?" in told
    assert sorted(path.name for path in here.iterdir()) == ["small.toml"]


def test_a_bench_counts_its_runs_unless_it_prints_json_or_has_other_observers(here, capsys):
    assert run_command(BENCH) == 0
    assert "2 of 2 runs" in capsys.readouterr().err
    assert run_command([*BENCH, "--json", "-o", "json"]) == 0
    shown, told = capsys.readouterr()
    assert json.loads(shown)[0]["runs"] == 2
    assert told == ""
    assert run_command([*BENCH, "--json", "-o", "both", "--set", 'run.observers=["progress"]']) == 0
    shown, told = capsys.readouterr()
    assert json.loads(shown)[0]["runs"] == 2
    assert "2 of 2 runs" in told
    assert run_command([*BENCH, "-o", "none", "--set", "run.observers=[]"]) == 0
    assert capsys.readouterr().err == ""


def test_check_names_the_observers_and_their_options(here, capsys):
    sets = ["--set", 'run.observers=["jsonl"]', "--set", "observers.jsonl.progress=false"]
    assert run_command(["check", "small.toml", *sets]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["[observers.jsonl]", "jsonl", "progress", "=", "false"] in lines


def test_a_check_finds_an_observer_whose_code_is_gone(here, capsys, monkeypatch):
    from nasforge.plugins import Plugin

    gone = Plugin("observer", "gone", "nowhere_at_all:Gone", origin="theirs 1.0")
    registry = Registry.discover().extended([gone])
    monkeypatch.setattr(Registry, "discover", lambda: registry)
    assert run_command(["check", "small.toml", "--set", 'run.observers=["gone"]']) == 2
    assert "observers.gone.use: 'gone' (theirs 1.0) cannot be used" in capsys.readouterr().err


def test_observers_are_listed_shown_and_offered(capsys):
    assert run_command(["plugins", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["plugins"]
    names = ["csv", "jsonl", "progress", "tensorboard"]
    assert [p["name"] for p in listed if p["kind"] == "observer"] == names
    assert run_command(["plugins", "show", "jsonl"]) == 0
    shown = capsys.readouterr().out
    assert '# In [run]: observers = ["jsonl"]\n[observers.jsonl]\n' in shown
    assert run_command(["new", "plugin", "--help"]) == 0
    offered = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "data, space, searcher, distiller, evaluator, observer." in offered
