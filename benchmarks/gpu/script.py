"""Check and measure nasforge on a GPU within a few minutes.

    python -m benchmarks.gpu --minutes 8                     everything that fits, results in gpu.json
    python -m benchmarks.gpu --minutes 8 --parts fast        one part
    python -m benchmarks.gpu --minutes 8 --cifar10 FOLDER    the search at the end on CIFAR-10
    python -m benchmarks.gpu --device cpu --tiny             the whole script in seconds, without a GPU

Parts: `right` compares five steps of each searcher and space with the CPU in float64, asserts that steps do
not wait for the GPU, and resumes; `fast` times ten kinds of steps in six ways; `depthwise` times the layouts
of depthwise convolutions; `published` runs CDARTS on NAS-Bench-201 until the time is over. The file of
results is written after every row. Called again with it, the script measures what failed or no longer
fitted, and continues the search.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.depthwise import time_depthwise
from benchmarks.gpu.fast import check_fast
from benchmarks.gpu.published import search_published
from benchmarks.gpu.record import DeviceLostError, Record
from benchmarks.gpu.right import check_right
from nasforge.runtime import Runtime
from nasforge.runtime.environment import describe_environment
from nasforge.runtime.settings import WORKSPACE

__all__ = ["PARTS", "main"]

PARTS = {"right": 0.35, "fast": 0.65, "depthwise": 0.7, "published": 0.98}
"""By name in their order: the share of the time at which a part ends."""

CHANGING = ("started", "command", "graphs", "seed", "precision", "depthwise_layout", "plugins")
"""Entries that differ between two calls on the same machine."""


def main(arguments: Sequence[str] | None = None, restart: Callable[..., Any] = os.execv) -> None:
    """Do what the command line asks for.

    Args:
        arguments: Instead of those of this process.
        restart: Replaces this process when the GPU is lost, as `os.execv`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    os.environ.setdefault(*WORKSPACE)  # before cuBLAS starts
    runtime = Runtime.create(options.device)
    seconds = 60 * options.minutes - options.spent
    record = Record(options.out, _describe(runtime.device), seconds, keep_failures=options.spent > 0)
    try:
        for name in options.parts:
            with record.part(name, PARTS[name] if len(options.parts) > 1 else PARTS["published"]):
                _do(name, record, runtime.device, options)
    except DeviceLostError as error:
        print(f"the GPU is lost ({error}); a new process does the rest", flush=True)
        spent = ["--spent", str(options.spent + record.spent)]
        restart(sys.executable, [sys.executable, "-m", "benchmarks.gpu", *given, *spent])
    _summarize(record.results["parts"])


def _do(name: str, record: Record, device: torch.device, options: argparse.Namespace) -> None:
    if name == "right":
        check_right(record, device, options.tiny)
    elif name == "fast":
        check_fast(record, device, options.tiny)
    elif name == "depthwise":
        time_depthwise(record, device, options.tiny)
    else:
        folder = options.out.with_suffix("")
        graphs = _graphs_pay(record.results["parts"].get("fast", {}))
        search_published(record, device, options.tiny, folder, options.cifar10, graphs)


def _graphs_pay(fast: Mapping[str, Any]) -> bool:
    """Return whether captured steps of the search were measured to be faster than others."""
    eager, graph = (fast.get(f"nasbench201, {way}", {}).get("step") for way in ("eager", "graph"))
    return bool(eager and graph and graph["median"] < eager["median"])


def _describe(device: torch.device) -> dict[str, Any]:
    about = describe_environment(Runtime(device), (), 0)
    about = {name: value for name, value in about.items() if name not in CHANGING}
    if device.type == "cuda":
        of = torch.cuda.get_device_properties(device)
        about |= {
            "memory_gib": round(of.total_memory / 2**30, 1),
            "multiprocessors": of.multi_processor_count,
            "capability": f"{of.major}.{of.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return about


def _summarize(parts: Mapping[str, Mapping[str, Any]]) -> None:
    for name, rows in parts.items():
        failed, skipped = (sum(word in row for row in rows.values()) for word in ("failed", "skipped"))
        done = len(rows) - failed - skipped
        print(f"{name:12} {done} measured, {failed} failed, {skipped} skipped")


def _minutes(text: str) -> float:
    if not 0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a length of time. Write a number above 0.")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=_minutes, default=8.0, help="time for everything; 8 by default")
    parser.add_argument("--device", default="auto", help="a device of torch, or auto")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="results; the run lies beside")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS), help="some parts")
    parser.add_argument(
        "--cifar10", type=Path, help="folder of cifar-10-binary.tar.gz; else synthetic images"
    )
    parser.add_argument("--tiny", action="store_true", help="tiny networks: to see that everything runs")
    parser.add_argument("--spent", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser
