"""Commands that start several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasforge.parallel.launch import launch
from support.killing import IMAGES
from support.ranks import run_ranks
from support.sharded import result_of

RECIPE = (
    IMAGES.replace("[data]", "shards = 2\n[data]")
    + """
[space]
use = "nasbench201"
channels = 4
search_cells = 1
[searcher]
use = "gdas"
epochs = {epochs}
"""
)


def straight(path: Path, folder: Path) -> dict[str, str]:
    import tomllib

    return result_of(run_ranks(tomllib.loads(path.read_text()), folder, 1))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, in their order (Linux)."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return sorted(map(int, listed.read_text().split())) if listed.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["-m", "nasforge", "run", "RECIPE", "--processes", "2"],
        ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "nasforge", "run", "RECIPE"],
    ],
    ids=["processes", "torchrun"],
)
def test_both_commands_compute_what_one_process_does(command, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(epochs=2))
    words = [str(path) if word == "RECIPE" else word for word in command]
    # A process that aborts prints where.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    done = subprocess.run(
        [sys.executable, *words, "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters ") == 1, "one process reports"
    assert result_of(tmp_path / "two" / "tiny") == straight(path, tmp_path / "one")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc")
def test_a_killed_process_is_named_and_ends_the_others(tmp_path):
    path, out = tmp_path / "tiny.toml", tmp_path / "out"
    path.write_text(RECIPE.format(epochs=200))
    command = [sys.executable, "-m", "nasforge", "run", str(path), "--processes", "2", "--out", str(out)]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    metrics = out / "tiny" / "metrics.jsonl"
    deadline = time.monotonic() + 400
    while not metrics.exists() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    ranks = children(started.pid)
    os.kill(ranks[-1], signal.SIGKILL)
    killed = time.monotonic()
    _, errors = started.communicate(timeout=120)
    assert time.monotonic() - killed < 60
    assert started.returncode == 1
    assert "process 1 of 2 was killed by SIGKILL" in errors
    assert "resumes from the last checkpoint" in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)


def test_the_status_is_that_of_the_command():
    assert launch(["--version"], 2) == 0
    assert launch(["run", "no-such-recipe"], 2) == 2
