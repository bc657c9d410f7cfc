"""A process that dies ends the others, and any number of processes goes on to the same bits."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from random import Random

import pytest

from nasforge.runtime import heartbeat
from support.ranks import run_ranks, start_ranks
from support.sharded import result_of, sharded

MINUTE = 60.0
KILLS = int(os.environ.get("NASFORGE_KILLS", "3"))
campaign = pytest.mark.skipif(
    "NASFORGE_KILLS" not in os.environ, reason="depends on the load of the machine: set NASFORGE_KILLS=20"
)


def kill_at(ranks, rank, metrics, row):
    """Kill one process as soon as a file has so many rows."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if metrics.exists() and metrics.read_text().count("\n") >= row:
            break
        time.sleep(0.01)
    os.kill(ranks.pids[rank], signal.SIGKILL)


def longer(kind):
    """Return a recipe that is not over before it is killed."""
    recipe = sharded(kind)
    recipe["searcher"]["epochs"] = 5
    return recipe


@pytest.mark.parametrize(("victim", "then"), [(1, 1), pytest.param(0, 4, marks=pytest.mark.slow)])
def test_other_numbers_of_processes_go_on(victim, then, tmp_path):
    recipe = longer("gdas")
    straight = result_of(run_ranks(recipe, tmp_path / "straight", 1))
    ranks = start_ranks(recipe, tmp_path / "killed", 2)
    folder = tmp_path / "killed" / "out" / "sharded"
    kill_at(ranks, victim, folder / "metrics.jsonl", 2)
    killed = time.monotonic()
    codes = ranks.wait()
    assert time.monotonic() - killed < MINUTE
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] == 1
    if victim:
        assert "another process of this run is gone" in ranks.words()[0]
    assert result_of(folder) != straight, "it was killed before its end"
    assert result_of(run_ranks(recipe, tmp_path / "killed", then)) == straight


@campaign
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cdarts", "train"])
def test_random_moments(kind, tmp_path):
    recipe, rng = sharded(kind), Random(f"{kind} {KILLS}")
    started = time.monotonic()
    straight = result_of(run_ranks(recipe, tmp_path / "straight", 1))
    length = min(time.monotonic() - started, 10.0)
    kills, waited, runs = 0, 0.0, 1
    while kills < KILLS:
        world = rng.choice([2, 4])
        ranks = start_ranks(recipe, tmp_path / f"killed{runs}", world)
        time.sleep(rng.uniform(0.0, 1.5 * length))
        victim = rng.randrange(world)
        with suppress(ProcessLookupError):
            os.kill(ranks.pids[victim], signal.SIGKILL)
        killed = time.monotonic()
        if ranks.wait(patience=20.0)[victim] == -signal.SIGKILL:
            kills, waited = kills + 1, max(waited, time.monotonic() - killed)
        else:  # it was over, after all the kills so far
            assert result_of(tmp_path / f"killed{runs}" / "out" / "sharded") == straight
            runs += 1
    assert waited < MINUTE
    assert result_of(run_ranks(recipe, tmp_path / f"killed{runs}", rng.choice([1, 2, 4]))) == straight
    print(f"{kind}: {kills} kills in {runs} runs; the others ended after {waited:.1f} s at most")


@campaign
@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "SILENCE", 6.0)
    monkeypatch.setattr(heartbeat, "EVERY", 0.5)
    ranks = start_ranks(longer("gdas"), tmp_path, 2)
    metrics = tmp_path / "out" / "sharded" / "metrics.jsonl"
    while not metrics.exists():
        time.sleep(0.05)
    os.kill(ranks.pids[1], signal.SIGSTOP)
    stopped = time.monotonic()
    _, status = os.waitpid(ranks.pids[0], 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert time.monotonic() - stopped < MINUTE
    os.kill(ranks.pids[1], signal.SIGKILL)
    os.waitpid(ranks.pids[1], 0)
