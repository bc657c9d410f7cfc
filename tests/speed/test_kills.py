"""A short kill campaign; the long one is ``python -m benchmarks.kills --times 100``."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks.kill_tasks import contents, tasks  # noqa: E402
from benchmarks.kills import table  # noqa: E402
from nasforge.plugins import Registry  # noqa: E402


def test_every_searcher_is_killed():
    registry = Registry.discover()
    names = [task.name for task in tasks(registry)]
    assert {f"search: {name}" for name in registry.names("searcher")} < set(names)
    assert {"bench", "latency build", "tables import", "two workers"} < set(names)
    assert "training with budgets that continue" in names


def test_contents_leave_out_times_alone(tmp_path):
    (tmp_path / "result.json").write_text('{"score": 1, "seconds": 2, "inner": [{"own_seconds": 3, "a": 4}]}')
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "epoch_seconds": 3}\n{"step": 2}\n')
    (tmp_path / "weights.safetensors").write_bytes(b"x")
    (tmp_path / "environment.json").write_text("{}")
    assert contents(tmp_path) == {
        "metrics.jsonl": [{"step": 1}, {"step": 2}],
        "result.json": {"score": 1, "inner": [{"a": 4}]},
        "weights.safetensors": b"x",
    }


def test_what_was_lost_is_counted():
    kill = {"task": "a", "how": "SIGKILL", "ended": True, "equal": True}
    lines = table([kill, {**kill, "equal": False}, {**kill, "how": "SIGINT", "ended": False, "equal": False}])
    assert lines.splitlines()[2] == "| a | 3 | 1 SIGINT, 2 SIGKILL | 1 | 1 |"


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_commands_end_as_if_nothing_had_happened(tmp_path):
    names = ["search: evolution", "search: fixed", "bench", "tables import"]
    command = [
        sys.executable,
        "-m",
        "benchmarks.kills",
        "--times",
        "4",
        "--folder",
        tmp_path,
        "--tasks",
        *names,
    ]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| all | 4 |" in ended.stdout
