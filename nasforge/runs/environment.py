"""The environment of a run on disk: versions and hardware of every process that worked on it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from nasforge.errors import CheckpointError
from nasforge.files import read_json
from nasforge.runs.folder import RunFolder
from nasforge.runs.stored import EnvironmentFile

__all__ = ["note_environment", "note_graphs"]


def note_environment(folder: RunFolder, now: dict[str, Any]) -> None:
    """Add this process to ``environment.json``; warn if its number of threads differs from the last one's.

    Args:
        folder: The run folder.
        now: The environment of this process.
    """
    path = folder.path / "environment.json"
    earlier = _earlier(path)
    threads = [(process.get("workers") or process).get("threads") for process in (*earlier[-1:], now)]
    if threads[0] != threads[-1]:
        warnings.warn(
            f"{folder.path}: was run with {threads[0]} threads before and {threads[-1]} now: "
            "results may differ in the last bits. Set run.threads to keep them equal.",
            stacklevel=2,
        )
    folder.store_file(".", "environment.json", {**now, "processes": [*earlier, now]})


def note_graphs(folder: RunFolder, graphs: dict[str, Any]) -> None:
    """Replace what ``environment.json`` says about the CUDA graphs of the last process.

    Args:
        folder: The run folder.
        graphs: The result of `Graphs.describe`.
    """
    processes = _earlier(folder.path / "environment.json")
    if processes:
        now = {**processes[-1], "graphs": graphs}
        folder.store_file(".", "environment.json", {**now, "processes": [*processes[:-1], now]})


def _earlier(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        processes: list[dict[str, Any]] = read_json(path, EnvironmentFile, "It is written anew.")["processes"]
    except CheckpointError as error:  # no reason to stop a run
        warnings.warn(str(error), stacklevel=3)
        return []
    return processes
