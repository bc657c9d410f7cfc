"""A long black-box search on a table: processor time, memory, and a resume in the middle.

Run ``python -m benchmarks.long_search`` for 100,000 evaluations of regularized evolution on NAS-Bench-201.
The search runs twice, once straight and once killed halfway and resumed; both must end in the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["main", "measure"]

HISTORY = Path("search/checkpoint~searcher~history.jsonl")
COMPARED = (HISTORY, Path("metrics.jsonl"), Path("search/result.json"))


def main() -> None:
    """Measure and print a JSON object; exit with 1 if the resumed search differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--folder", help="Where the runs are made; default: the system's temporary folder.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(options.evaluations, Path(folder))
    print(json.dumps(found, indent=2))
    sys.exit(0 if found["equal"] else 1)


def measure(evaluations: int, folder: Path) -> dict[str, Any]:
    """Search twice, once with a kill in the middle.

    Args:
        evaluations: Length of the search.
        folder: An empty folder for the runs.

    Returns:
        Processor seconds, wall-clock seconds and peak memory of the straight search, the same of the process
        that resumed, and whether both ended in equal files.
    """
    straight = _run(folder / "straight", evaluations)
    kill_at = (folder / "straight/long" / HISTORY).stat().st_size // 2
    killed = _run(folder / "resumed", evaluations, kill_at)
    resumed = _run(folder / "resumed", evaluations)
    return {
        "evaluations": evaluations,
        "straight": straight,
        "killed": killed,
        "resumed": resumed,
        "equal": all(
            _content(folder / "straight/long" / f) == _content(folder / "resumed/long" / f) for f in COMPARED
        ),
    }


def _run(out: Path, evaluations: int, kill_at: int | None = None) -> dict[str, float]:
    """Run the search in a process of its own; kill it when the history has so many bytes."""
    watch = out / "long" / HISTORY
    options = {"searcher.evaluations": evaluations, "run.name": "long", "run.threads": 1}
    sets = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "nasforge", "run", "search_nasbench201_table", *sets, "--out", str(out)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if kill_at is not None:
        while process.poll() is None and not (watch.exists() and watch.stat().st_size >= kill_at):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if kill_at is None and process.returncode:
        raise SystemExit(f"the search ended with status {process.returncode}")
    return {
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "seconds": round(time.monotonic() - started, 1),
        "peak_mib": round(used.ru_maxrss / 1024),  # Linux counts KiB
    }


def _content(path: Path) -> Any:
    if path.suffix != ".json":
        return path.read_bytes()
    result = json.loads(path.read_text(encoding="utf8"))
    result.pop("seconds")
    return result


if __name__ == "__main__":
    main()
