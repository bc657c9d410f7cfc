"""Measure nasforge side by side with its plain reference and with others.

    python -m benchmarks                                     everything, on the best device there is
    python -m benchmarks --rows cdarts-16 darts --threads 1  some rows
    python -m benchmarks --out results.json --out table.md   add to a file of results, write the table
    python -m benchmarks --show results.json                 print the table of earlier results

A row is measured in pairs: the reference makes a step, then nasforge, then the peer if there is one; a round
before warms up. Operators, arithmetic and memory are counted in further steps. `--out` keeps the other rows
of a file, so that the table can be made piece by piece. On a machine that does other things too, only ratios
mean something.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from benchmarks.images import compare
from benchmarks.machine import describe
from benchmarks.peers import Nni
from benchmarks.report import report
from benchmarks.rows import ROWS, SCALING, SIDES, TINY, Row, Size
from benchmarks.startup import measure_startup
from nasforge.runtime import Runtime

__all__ = ["main"]

OTHERS = ("images", "startup", "scaling")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for.

    Args:
        arguments: Instead of those of this process.
    """
    options = _parser().parse_args(arguments)
    if options.show:
        print(report(json.loads(options.show.read_text(encoding="utf8"))))
        return
    torch.set_num_threads(options.threads)
    options.device = str(Runtime.create(options.device).device)
    rows = {row.name: row for row in ROWS}
    if options.memory:
        row = rows[options.rows[0]]
        peak = measure.peak_memory(
            partial(row.make, options.memory, options.device, _size(row, options)), _device(options)
        )
        print(json.dumps(peak))
        return
    results: dict[str, Any] = {}
    for name in options.rows or [*rows, *OTHERS]:
        print(f"{name} …", file=sys.stderr, flush=True)
        about = describe(_device(options))
        results[name] = {**about, **_measure(name, rows, options)}
        for path in options.out:
            _store(path, results)
    print(report(results))


def _measure(name: str, rows: Mapping[str, Row], options: argparse.Namespace) -> dict[str, Any]:
    if name == "images":
        count = 200 if options.tiny else 10_000
        return {"rates": compare(options.device, count, 64, options.pairs)}
    if name == "startup":
        return {"commands": measure_startup(1 if options.tiny else options.pairs)}
    if name == "scaling":
        return _scaling(rows["cdarts-16"], options)
    return _measure_row(rows[name], _size(rows[name], options), options)


def _measure_row(row: Row, size: Size, options: argparse.Namespace) -> dict[str, Any]:
    device = _device(options)
    # First, while this process holds no networks: batches of 64 take more than half of 24 GB.
    memory = {} if options.no_memory else {side: _memory(row.name, side, options) for side in SIDES}
    works = {side: row.make(side, options.device, size) for side in SIDES}
    steps: dict[str, Any] = {side: partial(_silent, work) for side, work in works.items()}
    nni = Nni(options.nni_python, row.peer, size, options.device) if row.peer and options.nni_python else None
    if nni is not None:
        steps["nni"] = nni.step
    try:
        before = measure.matmul_peak(device)
        taken = measure.in_turns(steps, options.pairs, device)
    finally:
        if nni is not None:
            nni.close()
    peak = max(before, measure.matmul_peak(device))
    result = {
        "title": row.title,
        "size": asdict(size),
        "targets": dict(row.targets),
        "time": taken,
        "operators": {side: measure.operators(work) for side, work in works.items()},
        "arithmetic": {side: measure.arithmetic(work, device) for side, work in works.items()},
        "matmul_gflops": peak,
    }
    return {**result, "memory": memory} if memory else result


def _scaling(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """Time the first row at other sizes; operators and memory are in the row itself."""
    result: dict[str, Any] = {}
    for what, sizes in SCALING.items():
        result[what] = {}
        for number, size in sizes:
            measured = replace(TINY[row.name], **{what: max(number // 2, 3)}) if options.tiny else size
            works = {side: row.make(side, options.device, measured) for side in SIDES}
            steps = {side: partial(_silent, work) for side, work in works.items()}
            print(f"  {what} {number}", file=sys.stderr, flush=True)
            result[what][number] = measure.in_turns(steps, options.pairs, _device(options))
    return {"scaling": result}


def _silent(work: Any) -> None:
    work.step()


def _memory(name: str, side: str, options: argparse.Namespace) -> float:
    """Measure in a process of its own: what a process once took, it seldom gives back."""
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--rows",
        name,
        "--memory",
        side,
        "--device",
        options.device,
    ]
    command += ["--threads", str(options.threads), *(["--tiny"] if options.tiny else [])]
    command += ["--batch", str(options.batch)] if options.batch else []
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    return float(json.loads(done.stdout))


def _size(row: Row, options: argparse.Namespace) -> Size:
    size = TINY[row.name] if options.tiny else row.size
    return replace(size, batch=options.batch) if options.batch else size


def _device(options: argparse.Namespace) -> torch.device:
    return torch.device(options.device)


def _store(path: Path, results: Mapping[str, Any]) -> None:
    if path.suffix == ".md":
        path.write_text(report(results) + "\n", encoding="utf8")
        return
    earlier = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
    path.write_text(json.dumps({**earlier, **results}, indent=1) + "\n", encoding="utf8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*(row.name for row in ROWS), *OTHERS]
    parser.add_argument("--rows", nargs="+", choices=names, metavar="ROW", help=f"of {', '.join(names)}")
    parser.add_argument("--pairs", type=int, default=5, help="rounds that count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, help="images per step, instead of the row's own number")
    parser.add_argument("--out", type=Path, action="append", default=[], help="results .json or table .md")
    parser.add_argument("--show", type=Path, metavar="JSON", help="print the table of a file of results")
    parser.add_argument("--nni-python", type=Path, help="interpreter of an environment with nni 3.0")
    parser.add_argument("--tiny", action="store_true", help="tiny networks: to see that everything runs")
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory out")
    parser.add_argument("--memory", choices=SIDES, help=argparse.SUPPRESS)
    return parser
