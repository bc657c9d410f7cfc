"""Workers that another program starts."""

import os
from pathlib import Path

import pytest

import nasforge
from nasforge.errors import RecipeError, RunError
from support.worker_world import found, pids, recipe_writer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="launchers are scripts")

WRAPPER = """#!/bin/sh
echo "$1" >> launched
shift
export LAUNCHED=yes
"$@"
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Writes a recipe; returns its path."""
    monkeypatch.chdir(tmp_path)
    return recipe_writer(tmp_path)


@pytest.mark.slow
def test_a_launcher_starts_workers_and_changes_nothing(world, tmp_path):
    wrapper = tmp_path / "launch"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    nasforge.run(world("launched", "evolution"), [f"run.launcher=['{wrapper}', 'word']"])
    nasforge.run(world("alone", "evolution", workers=1))
    assert Path("launched").read_text().split() == ["word", "word"]
    assert len(pids("launched")) == 2
    assert found("launched") == found("alone")


@pytest.mark.slow
def test_one_worker_can_be_launched_and_one_that_dies_is_launched_again(world):
    with pytest.warns(UserWarning, match=r"killed by SIGKILL.*evaluated once more"):
        nasforge.run(world("once", kills=1, workers=1), ["run.launcher=['env', 'WORD=1']"])
    assert len(pids("once")) == 2
    assert os.getpid() not in pids("once")
    assert [failed for *_, failed in found("once")] == [None] * 8


def test_a_launcher_that_is_not_installed_is_an_error_at_the_start(world):
    with pytest.raises(
        RunError, match=r"run\.launcher: there is no program 'nicee' here\. Did you mean 'nice'\?"
    ):
        nasforge.run(world("none"), ["run.launcher=['nicee', '-n1']"])
    assert not pids("none")
    assert not (Path("runs") / "none" / "search").exists()


@pytest.mark.slow
def test_workers_that_never_start_end_the_run(world):
    options = ["run.launcher=['sh', '-c', 'sleep 60']", "run.start_limit=1"]
    with pytest.raises(RunError, match="no worker has started within 1 seconds"):
        nasforge.run(world("never"), options)


def test_ray_has_no_launcher(world):
    with pytest.raises(RecipeError, match=r"run\.launcher: 'ray' starts workers itself"):
        nasforge.run(world("both"), ["run.launcher=['env']", "run.backend='ray'"])
