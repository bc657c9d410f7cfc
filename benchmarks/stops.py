"""Batches that are lost when a run is stopped by SIGTERM at random moments.

``python -m benchmarks.stops`` makes a search and a training once undisturbed, and once with a signal at each
of some random moments, each followed by the same command again. Every update of weights is logged with the
bits of its loss, so an update that is made twice is found by comparing the logs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import struct
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nasforge.cli import run_command
from nasforge.training.update import Update

__all__ = ["Moment", "lost_batches", "main", "measure"]

RECIPE = """
[run]
name = "stops"
forecast = false
threads = 1
[data]
use = "synthetic"
num_classes = 3
image_size = 16
train_images = 240
test_images = 24
batch_size = 12
[space]
use = "nasbench201"
channels = 4
cells = 1
[searcher]
use = "darts"
epochs = 3
warmup_epochs = 1
[train]
use = "train"
epochs = 3
batch_size = 12
cutout = 4
drop_path = 0.2
"""


@dataclass(frozen=True)
class Moment:
    """One stop.

    Attributes:
        updates: Updates of weights before it, in all processes.
        status: Exit status of the process.
        seconds: Time from the signal to the end of the process.
        lost: Updates that the next process made again.
    """

    updates: int
    status: int
    seconds: float
    lost: int


def lost_batches(whole: list[str], logs: list[list[str]]) -> list[int]:
    """Return how many updates each process but the first repeated.

    Args:
        whole: Log of an undisturbed run.
        logs: Logs of the processes of a stopped one.

    Raises:
        ValueError: An update of the stopped run differs from that of the undisturbed one.
    """
    found, made = [], len(logs[0])
    for log in logs[1:]:
        lost = next((n for n in range(made + 1) if whole[made - n :][: len(log)] == log), None)
        if lost is None:
            raise ValueError(f"the process after update {made} computes other numbers")
        found.append(lost)
        made += len(log) - lost
    if made != len(whole):
        raise ValueError(f"{made} updates instead of {len(whole)}")
    return found


def measure(moments: int, seed: int, folder: Path, longest: float) -> list[Moment]:
    """Stop a run at random moments.

    Args:
        moments: How many.
        seed: Of the moments.
        folder: Working folder.
        longest: Longest wait in seconds between the first update of a process and the signal.

    Raises:
        RuntimeError: A process failed, or the weights differ.
    """
    draw = random.Random(seed)
    recipe = folder / "stops.toml"
    recipe.write_text(RECIPE)
    os.waitpid(_start(folder, "whole", 0, recipe), 0)
    whole = _read(folder / "whole0.log")
    ends: list[tuple[int, float]] = []
    while not ends or ends[-1][0]:
        log = folder / f"stopped{len(ends)}.log"
        process = _start(folder, "stopped", len(ends), recipe)
        if len(ends) < moments:
            until = time.monotonic() + 300.0
            while not _read(log) and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, longest))
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        sent = time.monotonic()
        _, status = os.waitpid(process, 0)
        ends.append((os.waitstatus_to_exitcode(status), time.monotonic() - sent))
        if ends[-1][0] not in (0, 75):
            raise RuntimeError(f"exit status {ends[-1][0]}")
    logs = [_read(folder / f"stopped{number}.log") for number in range(len(ends))]
    lost = lost_batches(whole, logs)
    weights = [folder / name / "stops" / "train" / "weights.safetensors" for name in ("whole", "stopped")]
    if weights[0].read_bytes() != weights[1].read_bytes():
        raise RuntimeError("the weights differ")
    made = [sum(map(len, logs[: n + 1])) - sum(lost[:n]) for n in range(len(lost))]
    return [Moment(n, *end, again) for n, end, again in zip(made, ends, lost, strict=False)]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(options.moments, options.seed, Path(place), options.longest)
    print("| Updates before | Exit status | Seconds to the end | Updates lost |\n|---|---|---|---|")
    for moment in found:
        print(f"| {moment.updates} | {moment.status} | {moment.seconds:.2f} | {moment.lost} |")
    print(f"\n{len(found)} stops, at most {max((m.lost for m in found), default=0)} updates lost by one.")


def _start(folder: Path, name: str, number: int, recipe: Path) -> int:
    """Run the recipe in a copy of this process, which logs its updates; return the process number."""
    if process := os.fork():
        return process
    log = (folder / f"{name}{number}.log").open("a")
    whole = Update.descend

    def descend(self: Update, loss: Tensor, *rest: Any, **more: Any) -> None:
        whole(self, loss, *rest, **more)
        bits = struct.pack("<f", float(loss.detach()))
        log.write(f"{zlib.crc32(bits):08x}\n")
        log.flush()

    Update.descend = descend  # type: ignore[method-assign]
    with (folder / f"{name}{number}.out").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        os._exit(run_command(["run", str(recipe), "--out", str(folder / name)]))


def _read(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


if __name__ == "__main__":
    main()
