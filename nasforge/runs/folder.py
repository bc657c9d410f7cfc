"""The folder of one run: where each stage keeps its result, and when a result still counts."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.component import Stage
from nasforge.errors import RunError, suggest
from nasforge.files import open_own, read_json, refuse_special, write_bytes, write_json, write_text
from nasforge.plugins.masking import mask_options
from nasforge.recipe.toml_text import to_toml
from nasforge.runs.lock import LOCK_FILES, lock_folder
from nasforge.runs.metrics_log import MetricsLog
from nasforge.runs.stored import Fingerprinted

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nasforge.runtime.shards import Shards

__all__ = [
    "CHOICES",
    "GRAPHS",
    "PREDICTIONS",
    "RESTORE",
    "TRAJECTORY",
    "MetricsLog",
    "RunFolder",
    "differences",
    "differing",
    "fingerprint",
    "inputs_of",
    "not_a_run",
    "word_option",
]

TRAJECTORY = "trajectory.jsonl"
"""File with option weights and evaluations of every step, in the folder of the search stage."""

CHOICES = "choices.json"
"""File with the choices of the space, in the folder of the search stage."""

GRAPHS = "graphs.json"
"""File with the drawings of the found architectures, in the folder of the derive stage."""

PREDICTIONS = "predictions.json"
"""File with the confusions and the worst images, in the folder of the test stage."""

HOW_NOT_WHAT = frozenset(
    {"name", "device", "threads", "workers", "backend", "observers", "report", "forecast"}
)
"""Options of ``[run]`` that say where a run computes or reports, not what: changing them undoes no stage."""

ADDED = {
    "shards": 1,
    "graphs": "auto",
    "tf32": "auto",
    "cudnn_benchmark": False,
    "deterministic": False,
    "depthwise_layout": "auto",
}
"""Options of ``[run]`` that older folders lack, with the value that stands for what they did."""

RESTORE = "Put a copy of it back, or run the recipe again under another name (--set run.name=…)."


class RunFolder:
    """One run on disk; every file is written beside and renamed.

    Args:
        path: The folder, such as ``runs/my-search``.
        shards: The processes of the run, of which rank 0 alone writes; None for one process.
    """

    def __init__(self, path: Path, shards: Shards | None = None) -> None:
        self.path, self._shards = path, shards
        self.metrics = self.log("metrics.jsonl")

    @property
    def writes(self) -> bool:
        """Whether this process writes into the folder."""
        return self._shards is None or self._shards.is_main

    def log(self, name: str) -> MetricsLog:
        """Return a file of rows below the folder, which rank 0 alone writes."""
        return MetricsLog(self.path / name, self._shards)

    def stage(self, stage: Stage) -> Path:
        """Return the folder of one stage."""
        return self.path / stage

    @property
    def resolved(self) -> dict[str, Any] | None:
        """The complete recipe this folder belongs to; None if it is not a run folder yet."""
        path = self.path / "resolved.json"
        return read_json(path, advice=RESTORE) if path.exists() else None

    @property
    def text(self) -> str:
        """The recipe as its author wrote it, for readers; empty if there is none."""
        try:
            refuse_special(path := self.path / "recipe.toml")
            return path.read_text(encoding="utf8", errors="replace")
        except OSError:
            return ""

    def claim(
        self,
        resolved: Mapping[str, Any],
        text: str,
        *,
        update: bool = False,
        modules: Mapping[Path, bytes] | None = None,
    ) -> None:
        """Make the folder, or check that it belongs to the same recipe; it does once a stage has begun.

        Files of local modules are copied to ``modules/`` and named relative to the folder, so that it can be
        moved, and resumes with the code it began with.

        Args:
            resolved: The complete recipe.
            text: The recipe as its author wrote it.
            update: Accept another recipe: stages whose inputs differ are done again.
            modules: The files of local modules, by the path that ``resolved`` has for them.

        Raises:
            RunError: The folder belongs to another recipe, or is something else.
        """
        copies = {str(path): f"modules/{path.name}" for path in modules or {}}
        if copies:
            local = resolved["plugins"]
            named = {**local, "modules": [copies.get(place, place) for place in local["modules"]]}
            resolved = {**resolved, "plugins": named}
        known = self.resolved
        if (
            known is None
            and self.path.exists()
            and any(f.name not in LOCK_FILES for f in self.path.iterdir())
        ):
            raise RunError(
                f"{self.path}: exists and is not a run folder. Choose another name with --set run.name=… or "
                "another place with --out."
            )
        begun = any(self.path.glob("*/inputs.json"))
        if known is not None and begun and not update and (changed := list(differences(known, resolved))):
            listed = "\n".join(f"  - {line}" for line in changed)
            raise RunError(
                f"{self.path}: belongs to another recipe. These options differ:\n{listed}\n"
                "Choose another name with --set run.name=…, or keep what still counts and do the rest again "
                "with --update."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        for path, content in (modules or {}).items():
            copy = self.path / copies[str(path)]
            if not copy.is_file() or copy.read_bytes() != content:
                write_bytes(copy, content)
        if known != resolved:
            write_json(self.path / "resolved.json", resolved)
            write_text(self.path / "recipe.toml", text)

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder, so that no second process works in it; see `lock_folder` for errors."""
        return lock_folder(self.path)

    def result(
        self, stage: Stage, fingerprint: str, shape: type[BaseModel] = Fingerprinted
    ) -> dict[str, Any] | None:
        """Return the stored result of a stage, if it was made from the same inputs.

        Args:
            stage: Name of the stage.
            fingerprint: That of its inputs.
            shape: The entries that the result must have.

        Raises:
            CheckpointError: The file cannot be read, or lacks an entry.
        """
        path = self.stage(stage) / "result.json"
        if not path.exists():
            return None
        result = read_json(path, shape)
        return result if result.get("fingerprint") == fingerprint else None

    def store(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Write the result of a finished stage."""
        if self.writes:
            write_json(self.stage(stage) / "result.json", result)

    def store_file(self, place: str, name: str, data: Mapping[str, Any]) -> None:
        """Write a further JSON file below the folder."""
        if self.writes:
            write_json(self.path / place / name, data)

    def log_access(self, row: Mapping[str, Any]) -> None:
        """Note in ``access.jsonl`` who read which images first, in this process."""
        if not self.writes:
            return
        with open_own(self.path / "access.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")

    def begin(self, stage: Stage, fingerprint: str) -> int:
        """Open a stage; what an attempt with other inputs left behind is set aside, not deleted.

        Returns:
            The number of steps that an earlier process has recorded for the same inputs.
        """
        folder = self.stage(stage)
        mark = folder / "inputs.json"
        advice = "Delete it to resume the stage."
        if mark.exists() and read_json(mark, Fingerprinted, advice)["fingerprint"] != fingerprint:
            number = 1
            while (aside := folder.with_name(f"{stage}.{number}")).exists():
                number += 1
            folder.replace(aside)
            warnings.warn(f"{folder}: made from other inputs, and set aside in {aside.name!r}.", stacklevel=2)
        begun = mark.exists()
        write_json(mark, {"fingerprint": fingerprint})
        steps = (row.get("step") for row in self.metrics.rows() if begun and row.get("stage") == stage)
        return max((step for step in steps if isinstance(step, int)), default=0)


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """Return a short hash of JSON data: equal inputs, equal hash."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def inputs_of(resolved: Mapping[str, Any], *tables: str) -> dict[str, Any]:
    """Return the parts of a recipe that a stage's outcome depends on.

    Args:
        resolved: The complete recipe.
        tables: Names of the tables, besides ``run`` and ``constraints``.
    """
    run = {k: v for k, v in resolved["run"].items() if k not in HOW_NOT_WHAT and ADDED.get(k) != v}
    # Where a local module lies does not matter, and what it says does.
    local = {"plugins": resolved["plugins"]["checksums"]} if "plugins" in resolved else {}
    limits = {"constraints": resolved["constraints"]} if "constraints" in resolved else {}
    limits |= {"latency": resolved["latency"]} if "latency" in resolved else {}
    return {"run": run, **local, **limits, **{table: resolved.get(table) for table in tables}}


def differences(
    known: Mapping[str, Any],
    wanted: Mapping[str, Any],
    at: str = "",
    *,
    there: str = "in the folder",
    here: str = "now",
) -> Iterator[str]:
    """Word how two recipes differ, an option at a time; options that do not change a result are left out.

    Args:
        known: The one in the folder.
        wanted: The other.
        at: Name of the table that both are, if they are not whole recipes.
        there: Where the first one is.
        here: Where the other is.
    """
    for name, old, new in differing(known, wanted, at):
        old, new = (word_option(mask_options(value, name)) for value in (old, new))
        yield f"{name}: {old} {there}, {new} {here}"


def differing(
    known: Mapping[str, Any], wanted: Mapping[str, Any], at: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield name and both values of every option that differs, with the arguments of `differences`."""
    for key in sorted({*known, *wanted}):
        name = f"{at}.{key}" if at else key
        if (at == "run" and key in HOW_NOT_WHAT) or name == "observers":
            continue
        missing = ADDED.get(key) if at == "run" else None
        old, new = known.get(key, missing), wanted.get(key, missing)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differing(old, new, name)
        elif old != new:
            yield name, old, new


def word_option(value: Any) -> str:
    """Write the value of an option, or of a whole table, in a sentence."""
    if isinstance(value, dict):
        return f"use = {value['use']!r}" if "use" in value else to_toml(value)
    if isinstance(value, bool):
        return str(value).lower()  # as in a recipe
    return "nothing" if value is None else repr(value)


def not_a_run(path: Path) -> str:
    """Return the message for a path that is not the folder of a run; it names a similar one beside it.

    Args:
        path: The path that was given.
    """
    if path.exists():
        return f"{path}: is not a run folder (no resolved.json). Give the folder that a run made."
    near = suggest(path.name, (file.parent.name for file in path.parent.glob("*/resolved.json")))
    hint = near if near.startswith(" Did") else " Give the folder that a run made."  # not all that are there
    return f"{path}: there is no such folder.{hint}"
