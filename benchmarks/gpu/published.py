"""The search of CDARTS on NAS-Bench-201 at its published length, as far as the time reaches."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import nasforge
from benchmarks.gpu.record import Record
from nasforge.config import PluginConfig
from nasforge.observer import Observer
from nasforge.training.stopping import Stopped, request_stop, stopping_on_signals

__all__ = ["RECIPE", "search_published"]

RECIPE = Path(__file__).parents[2] / "recipes" / "cdarts_nasbench201.toml"
CYCLES, IMAGES, BATCH = 50, 50_000, 64
JOINT_STEPS = CYCLES * (IMAGES // 2 // BATCH)
"""19,500, of which each has one step of the architecture and one of the weights."""

SAVING = 8.0
"""Seconds that are kept for the last step and the checkpoint."""


class Cycles(Observer[PluginConfig]):
    """Counts the cycles of the search and takes their times.

    Attributes:
        done: Finished cycles, with the finished share of the current one.
        times: Moments of the ends of cycles in this process, and of its beginning.
        before: Finished cycles at the beginning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done, self.before, self.times = 0.0, 0, list[float]()

    def stage_start(self, stage: str, done: int, total: int | None) -> None:
        """Begin to count with the cycles of earlier processes."""
        if stage == "search":
            self.done = self.before = done
            self.times.append(time.monotonic())

    def progress(self, stage: str, values: Mapping[str, float]) -> None:
        """Count a part of a cycle."""
        if stage == "search" and "done" in values:
            self.done = int(self.done) + min(values["done"], 0.999)

    def step(self, stage: str, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Count a cycle."""
        if stage == "search":
            self.done = step
            self.times.append(time.monotonic())


def search_published(
    record: Record, device: torch.device, tiny: bool, folder: Path, images: Path | None, graphs: bool
) -> None:
    """Run or continue the search until the time of the part is over; its checkpoint stays in the folder.

    Args:
        record: Keeps the row.
        device: Where the search runs.
        tiny: Search for two short cycles.
        folder: Holds the run.
        images: Folder of CIFAR-10; None takes as many synthetic images of the same size, for the time alone.
        graphs: Capture the steps.
    """
    record.measure("cdarts_nasbench201", lambda: _search(record.left, device, tiny, folder, images, graphs))


def _search(
    seconds: float, device: torch.device, tiny: bool, folder: Path, images: Path | None, graphs: bool
) -> dict[str, Any]:
    cycles, found = Cycles(), dict[str, Any]()
    timer = threading.Timer(max(seconds - SAVING, 0.0), request_stop, ["the time is over"])
    timer.daemon = True
    began = time.monotonic()
    with stopping_on_signals():  # forgets the request afterwards
        timer.start()
        try:
            overrides = _overrides(tiny, images, graphs)
            result = nasforge.run(RECIPE, overrides, out=folder, device=str(device), observers=[cycles])
            found = {"architecture": result.results["derive"]["notation"]}
        except Stopped as stop:
            found = {"stopped": stop.reason}
        finally:
            timer.cancel()
    between = [after - before for before, after in zip(cycles.times, cycles.times[1:], strict=False)]
    per_cycle = statistics.median(between) if between else None
    total = 2 if tiny else CYCLES
    row = {
        "images": "synthetic, of the same size" if images is None else "CIFAR-10",
        "graphs": graphs,
        "cycles": round(cycles.done, 3),
        "cycles_of": total,
        "joint_steps": int(cycles.done) * (JOINT_STEPS // CYCLES) if not tiny else None,
        "joint_steps_of": JOINT_STEPS if not tiny else None,
        "seconds_here": time.monotonic() - began,
        "seconds_per_cycle": per_cycle,
        "whole_search_seconds": None if per_cycle is None else per_cycle * total,
        **found,
    }
    # What is skipped is continued by the next call.
    return {**row, "skipped": "continues where it stopped, with the same --out"} if "stopped" in row else row


def _overrides(tiny: bool, images: Path | None, graphs: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"run.graphs": graphs, "run.report": False}
    if images is not None:
        options["data.root"] = str(images)
    else:
        options |= {"data.use": "synthetic", "data.train_images": IMAGES, "data.test_images": 10_000}
    if tiny:
        sizes = {"search_channels": 4, "search_cells": 1, "eval_channels": 4, "eval_cells": 1}
        options |= {f"space.{name}": size for name, size in sizes.items()}
        options |= {"data.train_images": 48, "data.test_images": 20, "data.image_size": 8}
        options |= {"data.batch_size": 8, "searcher.iterations": 2, "run.threads": 1}
    return options
