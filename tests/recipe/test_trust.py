"""Code that comes with recipes: announced where the user brings it, refused where a folder does."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import nasforge
from nasforge.cli import run_command
from nasforge.errors import RecipeError
from nasforge.recipe import trust
from support.tiny_recipe import tiny

MODULE = '''\
from pathlib import Path

from nasforge import Plugin, Searcher, hookimpl

Path("ran.txt").write_text("ran")


class One(Searcher):
    """Returns the first architecture."""

    done = True

    def step(self):
        return {}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def best(self):
        return self.ctx.space.discretize({})


@hookimpl
def nasforge_plugins():
    return [Plugin("searcher", "one", f"{__name__}:One")]
'''

RECIPE = """
[run]
name = "r"
threads = 1
report = false
[plugins]
modules = "./one.py"
[space]
use = "nasbench201"
[searcher]
use = "one"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Be a user without a list, in a folder with a recipe and its module."""
    unload(monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text(MODULE)
    (tmp_path / "r.toml").write_text(RECIPE)
    return tmp_path


def unload(monkeypatch):
    """Be a new process."""
    monkeypatch.setattr(trust, "_now", set())
    for name in [name for name in sys.modules if name.startswith("nasforge_local_one")]:
        del sys.modules[name]


def forget(place, monkeypatch):
    """Become another user, who gets the folder from someone."""
    shutil.rmtree(place / "state")
    unload(monkeypatch)
    (place / "ran.txt").unlink()


@pytest.mark.filterwarnings("default")
def test_code_of_a_recipe_is_announced_once(place, capsys):
    for _ in range(2):
        assert run_command(["check", "r.toml"]) == 0
    said = capsys.readouterr().err
    assert said.count("runs code of './one.py', which is new here (SHA-256 ") == 1
    (place / "one.py").write_text(MODULE + "\n")
    assert run_command(["check", "r.toml"]) == 0
    assert "new here" in capsys.readouterr().err


def test_a_folder_that_was_made_here_goes_on(place, monkeypatch, capsys):
    assert run_command(["run", "r.toml"]) == 0
    unload(monkeypatch)
    (place / "runs/r").rename(place / "moved")
    assert run_command(["run", "moved"]) == 0


@pytest.mark.parametrize("command", [["run", "runs/r"], ["export", "runs/r"]])
def test_code_of_a_foreign_folder_does_not_run(place, monkeypatch, capsys, command):
    assert run_command(["run", "r.toml"]) == 0
    if command[0] == "export":  # only a run that trains can be exported; its code comes first
        resolved = json.loads((place / "runs/r/resolved.json").read_text())
        tables = {key: tiny()[key] for key in ("data", "train")}
        (place / "runs/r/resolved.json").write_text(json.dumps(resolved | tables))
    forget(place, monkeypatch)
    capsys.readouterr()
    assert run_command(command) == 2
    said = capsys.readouterr().err
    assert "'modules/one.py': is code that was neither run nor trusted on this computer (SHA-256 " in said
    assert "add --trust, or call nasforge.trust(folder)" in said
    assert "no searcher named" not in said
    assert not (place / "ran.txt").exists()


def test_trust_holds_for_later_commands(place, monkeypatch):
    assert run_command(["run", "r.toml"]) == 0
    forget(place, monkeypatch)
    assert run_command(["run", "runs/r", "--trust"]) == 0
    assert (place / "ran.txt").exists()
    unload(monkeypatch)
    assert run_command(["run", "runs/r"]) == 0
    forget(place, monkeypatch)
    assert nasforge.trust("runs/r") == ("one.py",)
    assert not (place / "ran.txt").exists()
    assert nasforge.run("runs/r").was_finished


@pytest.mark.parametrize("modules", [3, {"a": 1}, None, [4]])
def test_a_folder_whose_recipe_is_damaged_names_no_code(tmp_path, modules):
    (tmp_path / "resolved.json").write_text(json.dumps({"plugins": {"modules": modules}}))
    assert nasforge.trust(tmp_path) == ()


def test_code_that_changed_does_not_run_before_it_is_compared(place, monkeypatch):
    assert run_command(["run", "r.toml"]) == 0
    forget(place, monkeypatch)
    copy = place / "runs/r/modules/one.py"
    copy.write_text(MODULE.replace('"ran"', '"other"'))
    nasforge.trust("runs/r")
    with pytest.raises(RecipeError, match="has been changed since the run began"):
        nasforge.run("runs/r")
    assert not (place / "ran.txt").exists()


@pytest.mark.parametrize("named", ["antigravity_by_name", "../../one.py"])
def test_a_folder_cannot_name_other_code(place, monkeypatch, named):
    assert run_command(["run", "r.toml"]) == 0
    forget(place, monkeypatch)
    (place / "antigravity_by_name.py").write_text(MODULE)
    monkeypatch.syspath_prepend(place)
    file = place / "runs/r/resolved.json"
    resolved = json.loads(file.read_text())
    resolved["plugins"] = {"modules": [named], "checksums": {}}
    file.write_text(json.dumps(resolved))
    with pytest.raises(RecipeError, match=r"has no checksum|neither run nor trusted"):
        nasforge.run("runs/r")
    assert not (place / "ran.txt").exists()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_list_that_others_can_write_does_not_count(place, monkeypatch):
    assert run_command(["run", "r.toml"]) == 0
    listed = trust.list_place()
    assert listed.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(trust, "_now", set())
    for path in (listed, listed.parent):
        before = path.stat().st_mode
        path.chmod(0o777)
        with pytest.warns(UserWarning, match="other users can write"), pytest.raises(RecipeError):
            nasforge.run("runs/r")
        path.chmod(before)
    assert nasforge.run("runs/r").was_finished
    monkeypatch.setattr(trust, "_now", set())
    listed.rename(place / "elsewhere")
    listed.symlink_to(place / "elsewhere")
    with pytest.raises(RecipeError):
        nasforge.run("runs/r")


def test_without_a_place_for_the_list_runs_work(place, monkeypatch):
    (place / "state").write_text("a file")
    assert run_command(["run", "r.toml"]) == 0
    assert run_command(["run", "runs/r"]) == 0


def test_trust_for_a_process_leaves_no_list(place, monkeypatch):
    """Workers, which may be on another computer, take over what the process that starts them has judged."""
    assert run_command(["run", "r.toml"]) == 0
    forget(place, monkeypatch)
    code = (
        "import nasforge, sys\n"
        "from nasforge.recipe.local_code import trust\n"
        "trust('runs/r', keep=False)\n"
        "nasforge.run('runs/r')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not trust.list_place().exists()
