"""Runs whose searcher comes in a file beside the recipe."""

import json
import shutil

import pytest

import nasforge
from nasforge.errors import RecipeError, RunError
from support.tiny_recipe import tiny

SEARCHER = '''\
from nasforge import Arch, Plugin, PluginConfig, Searcher, hookimpl

STEPS = 3


class Few(Searcher):
    """Takes a few steps and returns the first architecture."""

    def setup(self, ctx):
        super().setup(ctx)
        self.steps = 0

    @property
    def done(self):
        return self.steps >= STEPS

    def step(self):
        self.steps += 1
        return {"steps": self.steps}

    def best(self):
        return self.ctx.space.discretize({})

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


@hookimpl
def nasforge_plugins():
    return [Plugin("searcher", "few", f"{__name__}:Few")]
'''


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.py").write_text(SEARCHER)
    return tiny(searcher={"use": "few"}, plugins={"modules": "./few.py"}, train=None)


def steps(folder):
    return json.loads((folder / "search" / "result.json").read_text())["steps"]


def test_the_run_folder_keeps_the_file_and_goes_on_without_the_original(recipe, tmp_path):
    done = nasforge.run(recipe)
    assert steps(done.folder) == 3
    assert (done.folder / "modules" / "few.py").read_text() == SEARCHER
    stored = json.loads((done.folder / "resolved.json").read_text())
    assert stored["plugins"]["modules"] == ["modules/few.py"]
    (tmp_path / "few.py").unlink()
    moved = tmp_path / "moved"
    shutil.move(done.folder, moved)
    (moved / "search" / "result.json").unlink()
    again = nasforge.run(moved)
    assert again.folder == moved
    assert steps(moved) == 3
    assert sorted(path.name for path in (moved / "modules").iterdir()) == ["few.py"]


def test_the_same_recipe_elsewhere_is_the_same_run(recipe, tmp_path, monkeypatch):
    first = nasforge.run(recipe, out=tmp_path / "runs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tmp_path / "few.py", elsewhere)
    monkeypatch.chdir(elsewhere)
    assert "search" in nasforge.run(recipe, out=tmp_path / "runs").skipped
    assert first.skipped == frozenset()


def test_a_changed_file_is_another_recipe(recipe, tmp_path):
    folder = nasforge.run(recipe).folder
    (tmp_path / "few.py").write_text(SEARCHER.replace("STEPS = 3", "STEPS = 5"))
    with pytest.raises(RunError, match=r"belongs to another recipe.*\n  - plugins.checksums.few.py: "):
        nasforge.run(recipe)
    assert steps(folder) == 3
    nasforge.run(recipe, update=True)
    assert steps(folder) == 5
    assert "STEPS = 5" in (folder / "modules" / "few.py").read_text()


def test_a_copy_that_was_changed_is_refused(recipe):
    folder = nasforge.run(recipe).folder
    copy = folder / "modules" / "few.py"
    copy.write_text(copy.read_text().replace("STEPS = 3", "STEPS = 4"))
    with pytest.raises(RecipeError, match=r"modules/few\.py': has been changed since the run began"):
        nasforge.run(folder)


def test_a_trained_network_of_a_local_space_is_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = nasforge.Registry.discover().get("space", "chain")
    (tmp_path / "mine.py").write_text(
        f"""from nasforge import NetworkSpace, Plugin, hookimpl
from {source.config.__module__} import {source.config.__name__} as Config
from {source.target.replace(":", " import ")} as Parent


class Mine(Parent):
    pass


@hookimpl
def nasforge_plugins():
    return [Plugin("space", "mine", "mine:Mine", Config, provides=frozenset({{NetworkSpace}}))]
"""
    )
    space = {**source.tiny, "use": "mine"}
    recipe = tiny(space=space, searcher={"use": "few"}, plugins={"modules": ["few.py", "mine.py"]})
    (tmp_path / "few.py").write_text(SEARCHER)
    folder = nasforge.run(recipe, {"train.epochs": 1}).folder.resolve()
    monkeypatch.chdir("/")
    assert nasforge.load_network(folder) is not None
