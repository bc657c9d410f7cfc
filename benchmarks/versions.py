"""Processor time of steps in this checkout and in another one, in turns.

    git worktree add ../before COMMIT
    python -m benchmarks.versions --before ../before --rows darts nasbench201 --pairs 5

Each checkout computes in a process of its own. A round is one step of either, the first of them by turns; a
round before warms up. On a machine that does other things too, only the ratios mean something.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.rows import ROWS, TINY

__all__ = ["Checkout", "main"]

HERE = Path(__file__).resolve().parents[1]


class Checkout:
    """One row's steps, computed by the code of a checkout.

    Args:
        root: The checkout.
        row: Name of the row.
        arguments: Further words of the command line.
    """

    def __init__(self, root: Path, row: str, arguments: Sequence[str] = ()) -> None:
        path = os.pathsep.join([str(root.resolve()), str(root.resolve() / "plugins")])
        # -P: what lies beside this file belongs to this checkout.
        command = [sys.executable, "-P", __file__, "--driven", row, *arguments]
        environment = {**os.environ, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def step(self) -> float:
        """Make one step; return its processor time in seconds.

        Raises:
            RuntimeError: The process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process of a checkout ended with {self._process.wait()}")
        return float(json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def measure(before: Path, row: str, pairs: int, arguments: Sequence[str] = ()) -> list[tuple[float, float]]:
    """Return the seconds of each round, before and now.

    Args:
        before: The other checkout.
        row: Name of the row.
        pairs: Rounds that count.
        arguments: Further words of the command line of each side.
    """
    sides = [Checkout(before, row, arguments), Checkout(HERE, row, arguments)]
    try:
        found = []
        for number in range(pairs + 1):
            order = (0, 1) if number % 2 else (1, 0)
            taken = {side: sides[side].step() for side in order}
            found.append((taken[0], taken[1]))
        return found[1:]
    finally:
        for side in sides:
            side.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table.

    Args:
        arguments: Instead of those of this process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.before / "benchmarks" / "rows.py").exists():
        parser.error(f"--before: there is no 'benchmarks/rows.py' in '{options.before}'. Name a checkout.")
    torch.set_num_threads(1)
    if options.driven:
        _drive(options.driven, options.batch, options.tiny)
        return
    passed = [
        *(["--tiny"] if options.tiny else []),
        *(["--batch", str(options.batch)] if options.batch else []),
    ]
    print(
        "| Row | before, s | now, s | now / before (smallest to largest) |\n|---|---:|---:|---:|", flush=True
    )
    titles = {row.name: row.title for row in ROWS}
    if options.batch:
        titles = {n: re.sub(r"batch \d+", f"batch {options.batch}", t) for n, t in titles.items()}
    for name in options.rows:
        found = measure(options.before, name, options.pairs, passed)
        before, now = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = sorted(second / first for first, second in found)
        spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        print(f"| {titles[name]} | {before:.2f} | {now:.2f} | {spread} |", flush=True)


def _drive(name: str, batch: int | None, tiny: bool) -> None:
    """Make a step of nasforge's side for every line of standard input."""
    row = next(row for row in ROWS if row.name == name)
    size = TINY[name] if tiny else row.size
    work = row.make("nasforge", "cpu", replace(size, batch=batch or size.batch))
    for _ in sys.stdin:
        gc.collect()
        started = time.process_time()
        work.step()
        print(json.dumps(time.process_time() - started), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.versions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [row.name for row in ROWS]
    parser.add_argument("--before", type=Path, default=HERE, help="another checkout")
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=str(names))
    parser.add_argument("--pairs", type=int, default=5, help="rounds that count")
    parser.add_argument("--batch", type=int, help="images per step, instead of the row's own number")
    parser.add_argument("--tiny", action="store_true", help="tiny networks: to see that everything runs")
    parser.add_argument("--driven", choices=names, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
