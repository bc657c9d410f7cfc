"""The plugins in examples/ are laid out as `nasforge new plugin` lays one out, and say what they are."""

import subprocess
import sys
import tomllib
from importlib import import_module

import pytest

from nasforge.config import read_descriptions
from nasforge.plugins import API, KINDS, Plugin, Registry
from nasforge.plugins.scaffold import PluginNames
from nasforge.recipe import load
from support.environments import DISTRIBUTIONS, EXAMPLES
from support.generated_plugins import generate

TESTS = ("tests/test_conformance.py", "tests/test_recipe.py")
AS_GENERATED = (".gitignore", *TESTS)
"""Files that a plugin's author has no reason to change."""


def about(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())


@pytest.fixture
def described(monkeypatch):
    """Ask the hook of an example that is not installed."""

    def ask(folder) -> Plugin:
        monkeypatch.syspath_prepend(str(folder / "src"))
        (module,) = about(folder)["project"]["entry-points"]["nasforge"].values()
        (plugin,) = import_module(module).nasforge_plugins()
        return plugin

    return ask


def test_there_is_one_of_every_kind(described):
    assert sorted(described(folder).kind for folder in DISTRIBUTIONS) == sorted(KINDS)


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_the_layout_is_that_of_a_new_plugin(folder, described, tmp_path, monkeypatch):
    plugin = described(folder)
    monkeypatch.setattr(PluginNames, "_clash", lambda names: None)  # a package of that name is here: this one
    new = generate(tmp_path, plugin.kind, folder.name)
    written = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()}
    assert [name for name in written if not (folder / name).is_file()] == []
    for name in AS_GENERATED:
        assert (folder / name).read_text() == (new / name).read_text()
    ours, fresh = about(folder), about(new)
    assert ours["project"].pop("description") != fresh["project"].pop("description")
    (needed,), _ = ours["project"].pop("dependencies"), fresh["project"].pop("dependencies")
    assert needed.startswith("nasforge>=")  # the version it was written for, which need not be this one
    assert ours == fresh


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_plugin_says_what_it_is(folder, described):
    plugin = described(folder)
    assert (plugin.name, plugin.api) == (folder.name, API)
    assert f"api={API}" in next(folder.glob("src/*/plugin.py")).read_text()
    assert plugin.summary
    assert Registry([plugin]).broken == []
    read_descriptions(plugin.config)
    assert all(field.description for field in plugin.config.model_fields.values())


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_its_recipe_uses_it(folder, described):
    registry = Registry.discover().extended([described(folder)])
    for profile in (None, "smoke"):
        recipe = load(folder / "recipe.toml", registry, profile=profile)
        assert folder.name in {part.plugin.name for part in recipe.parts.values()}
    assert recipe.run.name == folder.name


def test_examples_are_formatted():
    pytest.importorskip("ruff", reason="ruff is not installed")
    for folder in DISTRIBUTIONS:  # each in its own place, where nasforge is foreign and the package its own
        rules = ["--isolated", "--no-cache", "--line-length", "110"]
        ruff = [sys.executable, "-m", "ruff"]
        subprocess.run([*ruff, "format", *rules, "--check", "."], check=True, cwd=folder)
        subprocess.run([*ruff, "check", *rules, "--extend-select", "I,UP,B", "."], check=True, cwd=folder)


def test_every_example_is_in_the_list():
    text = (EXAMPLES / "README.md").read_text("utf8")
    for path in EXAMPLES.iterdir():
        assert path.is_file() or f"({path.name}/" in text, path.name
