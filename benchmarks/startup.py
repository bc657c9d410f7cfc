"""How long commands that need no network take, and whether they leave torch alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

__all__ = ["COMMANDS", "measure_startup"]

COMMANDS = {
    "--help": ["--help"],
    "plugins list": ["plugins", "list"],
    "check cdarts_cifar10": ["check", "cdarts_cifar10"],
}
CODE = """
import sys
from nasforge.cli import main
sys.argv = ["nasforge", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules, file=sys.stderr)
"""


def measure_startup(repeats: int) -> dict[str, Any]:
    """Run every command in processes of its own.

    Args:
        repeats: How often; one run before warms the disk.

    Returns:
        By command: ``seconds`` of each run, ``median``, ``processor`` (the fewest seconds of processor time)
        and ``imports_torch``. ``python`` is the interpreter alone, ``import torch`` what they save.
    """
    results: dict[str, Any] = {}
    programs = {
        "python": ("pass", []),
        "import torch": ("import torch", []),
        **{name: (CODE, words) for name, words in COMMANDS.items()},
    }
    for name, (code, words) in programs.items():
        seconds, processor, torch_there = [], [], name == "import torch"
        for number in range(repeats + 1):
            start, before = time.perf_counter(), _children()
            done = subprocess.run(
                [sys.executable, "-c", code, *words], check=True, capture_output=True, text=True
            )
            if number:
                seconds.append(time.perf_counter() - start)
                processor.append(_children() - before)
            torch_there |= done.stderr.strip().endswith("True")
        results[name] = {
            "seconds": seconds,
            "median": statistics.median(seconds),
            "processor": min(processor),
            "imports_torch": torch_there,
        }
    return results


def _children() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
