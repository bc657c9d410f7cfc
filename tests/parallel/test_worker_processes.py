"""Searches with real worker processes: killed, interrupted, left alone, and compared with one process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nasforge
from support.worker_world import SEARCHERS, found, pids, recipe_writer, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc"),
]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Writes a recipe; returns its path."""
    monkeypatch.chdir(tmp_path)
    return recipe_writer(tmp_path)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start(recipe: Path) -> subprocess.Popen:
    """Run a recipe in a process of its own, until both workers have evaluated something."""
    # A forecast evaluates candidates, too.
    command = [sys.executable, "-m", "nasforge", "run", str(recipe), "--set", "run.forecast=false"]
    # Whoever starts the tests in the background has interrupts ignored, and so have all children.
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    name = recipe.stem
    wait_until(lambda: process.poll() is not None or (len(pids(name)) == 2 and _steps(name) >= 2))
    assert process.poll() is None, process.stderr.read()
    return process


def _steps(name: str) -> int:
    metrics = Path("runs") / name / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def test_a_killed_worker_is_replaced_and_its_candidate_tried_once_more(world):
    recipe = world("once", kills=1)
    with pytest.warns(UserWarning, match=r"killed by SIGKILL.*evaluated once more"):
        nasforge.run(recipe)
    first = Path("notes-once/first").readlink()
    attempts = list(Path("notes-once").glob(f"{first}.*"))
    assert len(attempts) == len({note.suffix for note in attempts}) == 2
    assert len(found("once")) == 8
    assert all(failed is None for _, _, failed in found("once"))


def test_a_candidate_that_kills_two_workers_is_recorded_as_failed(world):
    recipe = world("twice", kills=2)
    with pytest.warns(UserWarning, match="is recorded as failed"):
        nasforge.run(recipe)
    first = str(Path("notes-twice/first").readlink())
    failed = [row for row in found("twice") if row[2]]
    assert ["".join(option for _, (option,) in arch) for arch, _, _ in failed] == [first]
    assert "killed by SIGKILL" in failed[0][2]
    assert len(found("twice")) == 8


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_main_process_and_the_search_goes_on_as_if_nothing_had_happened(how, world):
    process = start(world("stopped", "evolution", pause=0.5))
    os.kill(process.pid, how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    wait_until(lambda: not any(alive(pid) for pid in pids("stopped")), 30)
    assert _steps("stopped") < 12
    nasforge.run(Path("stopped.toml"))
    nasforge.run(world("whole", "evolution", workers=1))
    assert found("stopped") == found("whole")
    assert not any(alive(pid) for pid in pids("stopped"))


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.campaign)])
def test_a_signal_ends_a_search_after_the_evaluations_under_way(how, world):
    process = start(world("stopped", "evolution", pause=0.5))
    os.kill(process.pid, how)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 75
    assert f"stopped by {how.name}, and everything is saved. The same command resumes." in told
    wait_until(lambda: not any(alive(pid) for pid in pids("stopped")), 30)
    assert _steps("stopped") < 12
    nasforge.run(Path("stopped.toml"), ["run.workers=1"])
    nasforge.run(world("whole", "evolution", workers=1))
    assert found("stopped") == found("whole")
    notes = [note.name.partition(".")[0] for note in Path("notes-stopped").glob("*.*.*")]
    assert len(notes) == len(set(notes)), "a candidate was evaluated twice"


def test_a_second_sigterm_ends_a_search_at_once(world):
    for pause in (2.0, 4.0, 8.0):  # evaluations may end between the two
        process = start(world(f"stopped{pause:.0f}", "evolution", pause=pause))
        for _ in range(2):
            os.kill(process.pid, signal.SIGTERM)
            time.sleep(1.5)
        process.communicate(timeout=60)
        wait_until(lambda name=f"stopped{pause:.0f}": not any(alive(pid) for pid in pids(name)), 30)
        if process.returncode != 75:
            break
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_two_workers_find_what_one_finds(searcher, world):
    for workers in (1, 2):
        nasforge.run(world(f"with{workers}", searcher, workers))
    assert pids("with1") == {os.getpid()}
    assert len(pids("with2")) == 2
    assert found("with1") == found("with2")
