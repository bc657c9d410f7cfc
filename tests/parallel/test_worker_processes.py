"""Searches with real worker processes: killed, interrupted, left alone, and compared with one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nasforge
from nasforge import checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc"),
]

TOY = '''
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from nasforge import Choice, Evaluation, Evaluator, Plugin, PluginConfig, SearchSpace, hookimpl


class Space(SearchSpace):
    choices = tuple(Choice(f"c{i}", tuple("pqr")) for i in range(4))


class Options(PluginConfig):
    notes: str
    kills: int = 0
    pause: float = 0.0


class Score(Evaluator):
    """Notes who evaluates what; the first candidate kills its worker as often as it is told."""

    def evaluate(self, arch, *, budget=None):
        notes, name = Path(self.config.notes), "".join(arch[c][0] for c in arch)
        attempts = len(list(notes.glob(f"{name}.*")))
        (notes / f"{name}.{attempts}.{os.getpid()}").touch()
        first = notes / "first"
        if not first.is_symlink():
            with suppress(FileExistsError):  # the other worker was faster
                first.symlink_to(name)
        if self.config.kills > attempts and os.readlink(first) == name:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.config.pause)
        return Evaluation(arch, sum("pqr".index(c) * 3**i for i, c in enumerate(name)) % 17)


@hookimpl
def nasforge_plugins():
    return [
        Plugin("space", "toy-space", f"{__name__}:Space"),
        Plugin(
            "evaluator",
            "toy-score",
            f"{__name__}:Score",
            Options,
            needs=frozenset({"space"}),
            provides=frozenset({"parallel"}),
        ),
    ]
'''

SEARCHERS = {
    "random": {"evaluations": 8},
    "evolution": {"evaluations": 12, "population": 4, "tournament": 2, "batch": 2},
    "bananas": {"evaluations": 10, "initial": 4, "batch": 2, "candidates": 6, "members": 2},
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Writes a recipe; returns its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(TOY)

    def write(name: str, searcher: str = "random", workers: int = 2, more: str = "", **options) -> Path:
        (tmp_path / f"notes-{name}").mkdir()
        told = {"notes": str(tmp_path / f"notes-{name}"), **options}
        tables = {
            "plugins": {"modules": "./toy.py"},
            "run": {"name": name, "threads": 1, "workers": workers},
            "space": {"use": "toy-space"},
            "evaluator": {"use": "toy-score", **told},
            "searcher": {"use": searcher, **SEARCHERS[searcher]},
        }
        lines = []
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        path = tmp_path / f"{name}.toml"
        path.write_text("\n".join([*lines, more]))
        return path

    return write


def found(name: str) -> list[tuple]:
    """What a search has seen, in order, but for the seconds."""
    state = checkpoint.load(Path("runs") / name / "search" / "checkpoint.safetensors")
    return [(tuple(e["arch"].items()), e["score"], e["failed"]) for e in state["searcher"]["history"]]


def pids(name: str) -> set[int]:
    return {int(note.suffix[1:]) for note in Path(f"notes-{name}").glob("*.*.*")}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def start(recipe: Path) -> subprocess.Popen:
    """Run a recipe in a process of its own, until both workers have evaluated something."""
    command = [sys.executable, "-m", "nasforge", "run", str(recipe)]
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


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_two_workers_find_what_one_finds(searcher, world):
    for workers in (1, 2):
        nasforge.run(world(f"with{workers}", searcher, workers))
    assert pids("with1") == {os.getpid()}
    assert len(pids("with2")) == 2
    assert found("with1") == found("with2")
