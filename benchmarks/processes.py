"""How much faster two or more processes search than one: seconds per epoch, in turns.

Usage: ``python -m benchmarks.processes --processes 1 2 --repeats 3``. Other programs on the machine change
the wall-clock time, so the CPU time of rank 0 is printed beside it: without the waiting for others, that is
what its wall-clock time comes to where every process has a core of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

import nasforge
from nasforge.config import PluginConfig
from nasforge.observer import Observer

EPOCHS = 4


def recipe(searcher: str, shards: int, images: int, batch: int, channels: int) -> dict[str, Any]:
    """Return a search of a NAS-Bench-201 supernet on synthetic images."""
    data = {
        "use": "synthetic",
        "num_classes": 10,
        "image_size": 32,
        "train_images": images,
        "test_images": 20,
    }
    search: dict[str, Any] = {"use": searcher, "epochs": EPOCHS}
    if searcher == "cdarts":
        search = {"use": searcher, "iterations": EPOCHS, "warmup_epochs": 0, "twin": {"warmup_epochs": 0}}
    tables: dict[str, Any] = {
        "run": {"name": "scaling", "threads": 1, "shards": shards, "report": False},
        "data": {**data, "batch_size": batch},
        "space": {"use": "nasbench201", "channels": channels, "search_cells": 2, "eval_cells": 2},
        "searcher": search,
    }
    return {**tables, "distiller": {"use": "stages"}} if searcher == "cdarts" else tables


class Times(Observer[PluginConfig]):
    """Keeps wall-clock and CPU time at the end of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[float, float]] = []

    def step(self, stage: str, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Take both times."""
        self.rows.append((time.monotonic(), time.process_time()))


def measure(tables: Mapping[str, Any], world: int) -> tuple[float, float]:
    """Return wall-clock and CPU seconds of rank 0 per epoch, without the first one."""
    store = TCPStore("127.0.0.1", 0, None, True, timedelta(minutes=5), wait_for_workers=False)
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    with tempfile.TemporaryDirectory() as folder:
        pids = []
        for rank in range(world):
            if not (pid := os.fork()):
                os.environ.update(shared, RANK=str(rank), TORCHELASTIC_USE_AGENT_STORE="True")
                times, code = Times(), 1
                try:
                    nasforge.run(tables, out=folder, observers=[times])
                    if rank == 0:
                        Path(folder, "times.json").write_text(json.dumps(times.rows))
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        assert not any(codes), f"processes ended with {codes}"
        rows = json.loads(Path(folder, "times.json").read_text())[:EPOCHS]
    return tuple((rows[-1][i] - rows[0][i]) / (len(rows) - 1) for i in (0, 1))  # type: ignore[return-value]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searcher", default="cdarts")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = recipe(options.searcher, options.shards, options.images, options.batch, options.channels)
    found: dict[int, list[tuple[float, float]]] = {world: [] for world in options.processes}
    for number in range(options.repeats):
        for world in options.processes:
            wall, cpu = measure(tables, world)
            found[world].append((wall, cpu))
            load = os.getloadavg()[0]
            print(
                f"{number + 1}: {world} processes: {wall:.2f} s per epoch, {cpu:.2f} s CPU, load {load:.1f}",
                flush=True,
            )
    base = [statistics.median(column) for column in zip(*found[options.processes[0]], strict=True)]
    for world, rows in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"{world} processes: {wall:.2f} s per epoch ({base[0] / wall:.2f} times), "
            f"{cpu:.2f} s CPU of rank 0 ({base[1] / cpu:.2f} times)"
        )


if __name__ == "__main__":
    main()
