"""The class that workers of a search build: it evaluates candidates with an evaluator of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nasforge.arch import Arch
from nasforge.component import Stage
from nasforge.data import reading_only
from nasforge.errors import RunError
from nasforge.observer import Observer
from nasforge.parallel.failures import check_score, evaluate_repeat
from nasforge.parallel.messages import Message, Send
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.recipe.local_code import trust
from nasforge.runs.assembly import Assembly
from nasforge.runs.folder import RunFolder
from nasforge.runs.scope import SEARCH
from nasforge.runtime import Runtime
from nasforge.seeding import derive_seed

__all__ = ["Worker"]


class Worker:
    """The evaluator of a run's search, built from the resolved recipe in the run folder.

    Sends ``access`` (a row for access.jsonl) and ``report`` (progress) while it evaluates.

    Args:
        send: Takes messages.
        path: The run folder; ``resolved.json`` in it describes the evaluator.
        device: Where to compute; None: what the recipe says, as seen from here.

    Raises:
        RunError: The run folder is not there.
        NasforgeError: The recipe cannot be built in this process.
    """

    def __init__(self, send: Send, path: str, device: str | None) -> None:
        folder = _Folder(Path(path), send)
        resolved = folder.resolved
        if resolved is None:
            raise RunError(
                f"{path}: this worker does not see the run folder. Put it where all machines see it."
            )
        trust(path, keep=False)  # the process that started this worker has judged its code
        source = str(folder.path / "resolved.json")
        recipe = check(resolved, Registry.discover(), source=source, folder=folder.path)
        options = recipe.run
        runtime = Runtime.of(options, device)
        torch.manual_seed(derive_seed(options.seed, SEARCH.stage))
        with reading_only(SEARCH.stage, SEARCH.reads):
            self._evaluator = Assembly(recipe, folder, runtime, _Watch(send)).search_evaluator()

    def answer(self, task: Message) -> dict[str, Any]:
        """Return the evaluation of one candidate as JSON data.

        Args:
            task: ``arch``, JSON data of an `Arch`; ``budget`` and ``repeat`` as in `Evaluator.expect`.
        """
        arch, budget, repeat = Arch(task["arch"]), task["budget"], task["repeat"]
        with reading_only(SEARCH.stage, SEARCH.reads):
            return check_score(evaluate_repeat(self._evaluator, arch, budget, repeat)).to_json()


class _Folder(RunFolder):
    """A run folder that belongs to another process: rows are sent, not written."""

    def __init__(self, path: Path, send: Send) -> None:
        super().__init__(path)
        self._send = send

    def log_access(self, row: Mapping[str, Any]) -> None:
        """Send the row before the images are read."""
        self._send({"access": row})


class _Watch(Observer[Any]):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Send the values to the main process."""
        self._send({"report": values})
