"""Observers of runs: made from the recipe, set up in its folder, closed at the end, and without influence."""

import json
import warnings

import pytest

import nasforge
from nasforge.errors import PluginError, RecipeError
from nasforge.observer import Observer, Observers
from nasforge.plugins import Plugin, Registry
from nasforge.recipe import check
from nasforge.runs.observers import observing
from support.tiny_recipe import tiny


class Listener(Observer):
    def __init__(self, config=None):
        super().__init__(config)
        self.heard = []

    def setup(self, folder):
        super().setup(folder)
        self.heard.append("setup")

    def run_start(self, name, resolved):
        self.heard.append("run_start")
        resolved["run"]["seed"] = 99

    def stage_end(self, stage, result, skipped):
        self.heard.append(stage)
        result.clear()

    def run_end(self, result):
        self.heard.append("run_end")

    def close(self):
        self.heard.append("close")


class FailsInConstructor(Observer):
    def __init__(self, config):
        raise ImportError("no module named 'tensorboard'. Run: pip install tensorboard")


class FailsInSetup(Observer):
    def setup(self, folder):
        raise OSError("read-only")


PLUGINS = [
    Plugin("observer", "listener", f"{__name__}:Listener"),
    Plugin("observer", "fails-in-constructor", f"{__name__}:FailsInConstructor"),
    Plugin("observer", "gone", "nowhere_at_all:Gone"),
]


class Named(Plugin):
    """A plugin whose class is in this module."""

    def load(self):
        return globals()[self.target.partition(":")[2]] if self.name != "gone" else super().load()


REGISTRY = Registry.discover().extended(Named(p.kind, p.name, p.target) for p in PLUGINS)


def recipe(*names):
    tables = tiny(train=None)
    return check({**tables, "run": {**tables["run"], "observers": list(names)}}, REGISTRY)


def test_the_calls_of_a_run_and_the_copies_they_get(tmp_path):
    listener = Listener()
    result = nasforge.run(tiny(train=None), out=tmp_path, observers=[listener])
    assert listener.heard == ["setup", "run_start", "search", "derive", "run_end", "close"]
    assert listener.folder == result.folder
    assert result.results["derive"]["notation"]
    assert json.loads((result.folder / "resolved.json").read_text())["run"]["seed"] != 99


def test_the_observers_of_a_recipe_are_used_from_python_too(tmp_path):
    tables = tiny(train=None)
    tables = {**tables, "run": {**tables["run"], "observers": ["jsonl"]}}
    result = nasforge.run(tables, out=tmp_path)
    lines = [json.loads(line) for line in (result.folder / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"].startswith("run")] == ["run_start", "run_end"]


def test_another_observer_does_not_undo_a_finished_run(tmp_path):
    tables = tiny()
    first = nasforge.run(tables, out=tmp_path)
    watched = {
        **tables,
        "run": {**tables["run"], "observers": ["log"]},
        "observers": {"log": {"use": "jsonl", "path": "log.jsonl"}},
    }
    again = nasforge.run(watched, out=tmp_path)
    assert again.was_finished
    assert again.results == first.results
    # The folder remembers the observers, and --set turns them off.
    size = (first.folder / "log.jsonl").stat().st_size
    assert nasforge.run(first.folder).was_finished
    assert (first.folder / "log.jsonl").stat().st_size > size
    size = (first.folder / "log.jsonl").stat().st_size
    assert nasforge.run(first.folder, ["run.observers=[]"]).was_finished
    assert (first.folder / "log.jsonl").stat().st_size == size


def test_results_are_the_same_with_and_without(tmp_path):
    alone = nasforge.run(tiny(), out=tmp_path / "alone")
    tables = tiny()
    tables = {**tables, "run": {**tables["run"], "observers": ["progress", "jsonl"]}}
    watched = nasforge.run(tables, out=tmp_path / "watched")
    for stage, result in alone.results.items():
        ours, theirs = (
            {k: v for k, v in r.items() if k != "cost" and "seconds" not in k}
            for r in (result, watched.results[stage])
        )
        assert ours == theirs


def test_the_caller_chooses_for_a_recipe_that_names_none(tmp_path, capsys):
    nasforge.run(tiny(train=None), out=tmp_path / "a")
    assert capsys.readouterr().out == ""
    nasforge.run(tiny(train=None), out=tmp_path / "b", default_observers=["progress"])
    assert "search: done in" in capsys.readouterr().out
    quiet = tiny(train=None)
    quiet = {**quiet, "run": {**quiet["run"], "observers": []}}
    nasforge.run(quiet, out=tmp_path / "c", default_observers=["progress"])
    assert capsys.readouterr().out == ""
    with pytest.raises(PluginError, match=r"no observer named 'progess'\. Did you mean 'progress'"):
        nasforge.run(tiny(train=None), out=tmp_path / "d", default_observers=["progess"])
    assert not (tmp_path / "d" / "tiny").exists()


def test_a_missing_observer_is_an_error_of_the_recipe(tmp_path):
    tables = tiny(train=None)
    with pytest.raises(RecipeError, match=r"run\.observers: no observer named 'progess'"):
        nasforge.run({**tables, "run": {**tables["run"], "observers": ["progess"]}}, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_observer_that_cannot_be_imported_is_an_error():
    with pytest.raises(PluginError, match=r"observer 'gone'.*cannot be loaded"):
        observing(recipe("gone"), REGISTRY).__enter__()


def test_an_observer_that_cannot_be_made_or_set_up_is_dropped(tmp_path):
    listener = Listener()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        watching = observing(recipe("fails-in-constructor", "listener"), REGISTRY, [FailsInSetup(), listener])
        with watching as watched:
            watched.setup(tmp_path)
            watched.run_end({})
    told = [str(warning.message) for warning in warned]
    assert told[0].startswith("observer 'fails-in-constructor' failed and is dropped: ImportError")
    assert "pip install tensorboard" in told[0]
    assert told[1] == "observer FailsInSetup failed and is dropped: OSError('read-only')"
    assert len(told) == 2
    assert listener.heard == ["setup", "run_end", "close"]


def interrupted(listener, folder):
    with observing(recipe(), REGISTRY, [listener]) as watched:
        if folder:
            watched.setup(folder)
        raise KeyboardInterrupt


def test_observers_are_closed_when_the_run_fails_and_not_before_it_begins(tmp_path):
    stopped, never = Listener(), Listener()
    for listener, folder in ((stopped, tmp_path), (never, None)):
        with pytest.raises(KeyboardInterrupt):
            interrupted(listener, folder)
    assert stopped.heard == ["setup", "close"]
    assert never.heard == []


def test_a_dropped_observer_is_closed_and_an_error_in_that_is_no_news():
    class Broken(Listener):
        def run_end(self, result):
            raise ValueError("no")

        def close(self):
            super().close()
            raise ValueError("neither")

    broken = Broken()
    with pytest.warns(UserWarning, match="observer Broken failed and is dropped: ValueError..no") as warned:
        Observers([broken]).run_end({})
    assert len(warned) == 1
    assert broken.heard == ["close"]
