"""A kill campaign: commands are killed at any moment, run again, and must end as if nothing had happened.

Run ``python -m benchmarks.kills --times 100``. Commands run in forked processes, so that a start costs no
import. The moment of a kill is drawn uniformly over the processor time of the command. How: SIGKILL, SIGTERM,
SIGINT, or a disk that is full after a number of bytes (a limit on the size of files). Of commands with
workers, the main process, one worker, or all processes are killed. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.kill_tasks import Task, contents, tasks
from nasforge.cli import run_command
from nasforge.plugins import Registry

__all__ = ["main"]

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 600
"""Seconds after which a command hangs."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, compare, and print a table; exit with 1 if anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="*", default=[""], help="parts of the names of tasks; default: all")
    parser.add_argument("--folder", help="where the runs are made; default: the system's temporary folder")
    parser.add_argument("--json", type=Path, help="keep every kill in this file")
    options = parser.parse_args(arguments)
    import torch

    import nasforge.api  # noqa: F401 (forked processes find everything imported)

    torch.set_num_threads(1)
    chosen = [task for task in tasks(Registry.discover()) if any(part in task.name for part in options.tasks)]
    draw, kills = Random(options.seed), []
    shares = [options.times // len(chosen) + (i < options.times % len(chosen)) for i in range(len(chosen))]
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        for task, share in zip(chosen, shares, strict=True):
            for kill in campaign(task, share, Path(place), draw):
                kills.append(kill)
                if options.json:
                    options.json.write_text(json.dumps(kills, indent=1))
            print(f"{task.name}: {share} kills", file=sys.stderr, flush=True)
    print(table(kills))
    sys.exit(0 if kills and all(kill["ended"] and kill["equal"] for kill in kills) else 1)


def campaign(task: Task, times: int, place: Path, draw: Random) -> Iterator[dict[str, Any]]:
    """Kill one command a number of times, up to three times on its way to the end.

    Args:
        task: The command.
        times: How often.
        place: A folder for its runs.
        draw: Chooses moments and ways.

    Yields:
        A row for each kill: how, at which share of the processor time, whether the same command then ended
        well, and with equal contents.
    """
    if not times:
        return
    straight = _fresh(task, place / "straight")
    whole = _Command(task, straight)
    if whole.wait():
        raise SystemExit(f"{task.name}: ends with status {whole.status} without any kill:\n{whole.said()}")
    expected, left = contents(straight), times
    while left:
        folder = _fresh(task, place / "killed")
        hits = []
        for _ in range(min(draw.randint(1, 3), left)):
            for _ in range(8):  # a kill that comes too late does not count
                if kill := _kill(task, folder, whole, draw):
                    hits.append(kill)
                    break
                folder = folder if hits else _fresh(task, place / "killed")
        last = _Command(task, folder)
        ended = last.wait() == 0
        found = contents(folder) if ended else None
        equal = found == expected if task.resumes else ended and set(found or ()) == set(expected)
        whole_files = not [*folder.rglob("*.partial")]
        told = "" if ended and equal else last.said()
        for hit in hits:
            yield {**hit, "ended": ended and whole_files, "equal": equal, "said": told}
        left -= len(hits)
        shutil.rmtree(folder)
    shutil.rmtree(straight)


def table(kills: Sequence[dict[str, Any]]) -> str:
    """Return the campaign as a table in Markdown."""
    names = list(dict.fromkeys(kill["task"] for kill in kills))
    lines = ["| Command | kills | how | lost | equal |", "|---|---|---|---|---|"]
    for name in [*names, "all"]:
        rows = [kill for kill in kills if name in ("all", kill["task"])]
        how = ", ".join(f"{count} {way}" for way, count in sorted(Counter(k["how"] for k in rows).items()))
        lost = sum(not kill["ended"] for kill in rows)
        lines.append(f"| {name} | {len(rows)} | {how} | {lost} | {sum(k['equal'] for k in rows)} |")
    return "\n".join(lines)


def _fresh(task: Task, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.prepare(folder)
    return folder


def _kill(task: Task, folder: Path, whole: _Command, draw: Random) -> dict[str, Any] | None:
    """Start a command and kill it; None if it ended before."""
    share = draw.random()
    ways = ["SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "full disk"]
    way = draw.choice(ways if task.resumes else ways[:-1])
    target = draw.choice(("main", "a worker", "all")) if task.workers and way != "full disk" else "main"
    if way == "full disk":
        ended = _Command(task, folder, limit=draw.randint(200, max(300, whole.largest)))
        killed = ended.wait() != 0
    else:
        running = _Command(task, folder)
        killed = running.kill(SIGNALS[way], share * whole.cpu, target)
    how = way if target == "main" else f"{way} of {target}"
    return {"task": task.name, "how": how, "share": round(share, 3)} if killed else None


class _Command:
    """A command in a forked process, in a group of its own.

    Args:
        task: The command.
        folder: Where it works.
        limit: Largest size of files, in bytes; None for any.
    """

    def __init__(self, task: Task, folder: Path, limit: int | None = None) -> None:
        self.status: int | None = None
        self.cpu, self.largest = 0.0, 0
        self._task, self._folder, self._log = task, folder, folder.with_name(f"{folder.name}.log")
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._become(task, folder, limit)

    def _become(self, task: Task, folder: Path, limit: int | None) -> None:
        """Be the command; never returns."""
        status = 70
        try:
            os.setpgid(0, 0)
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if task.data:
                os.environ["NASFORGE_DATA"] = str(folder / "data")
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(
                    resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
                )
            status = run_command(task.command(folder))
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(status)

    def wait(self) -> int:
        """Wait for the end; return the exit status, negative for a signal."""
        deadline = time.monotonic() + PATIENCE
        while self.status is None and time.monotonic() < deadline:
            self._look()
            time.sleep(0.01)
        if self.status is None:
            self._end_group()
            raise SystemExit(f"{self._folder}: hangs\n{self.said()}")
        self._end_group()
        files = [
            path.stat().st_size for path in self._folder.rglob("*") if path.is_file() and path.name != "t.csv"
        ]
        self.largest = max(files, default=0)
        return self.status

    def kill(self, number: int, cpu: float, target: str) -> bool:
        """Send a signal once the process has used so much processor time; return whether it was alive."""
        while self.status is None and (self._used() < cpu or (target != "main" and not self._workers())):
            time.sleep(0.05 if self._task.workers else 0.001)
            self._look()
        workers = self._workers()
        if self.status is not None:
            self.wait()
            return False
        if target != "main":
            for worker in workers[:1] if target == "a worker" else workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, number)
        if target != "a worker":
            os.kill(self.pid, number)
        return self.wait() != 0 or target == "a worker"

    def said(self) -> str:
        """Return the end of what the command printed."""
        return self._log.read_text(errors="replace")[-1500:] if self._log.exists() else ""

    def _look(self) -> None:
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self.status, self.cpu = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime

    def _used(self) -> float:
        """Return the processor time of the command and of its workers, those that have ended included."""
        used = _ticks(self.pid)
        if used is None:
            return float("inf")
        return (used + sum(_ticks(worker) or 0 for worker in self._workers())) / TICK

    def _workers(self) -> list[int]:
        return _children(self.pid) if self._task.workers else []

    def _end_group(self) -> None:
        """End what the command may have left running: workers whose main process was killed."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _ticks(pid: int) -> int | None:
    """Return the processor time of a process and of its children that have ended; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return sum(int(field) for field in fields[11:15])


def _children(pid: int) -> list[int]:
    """Return the running processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return sorted(found)


if __name__ == "__main__":
    main()
