"""Do the export stage of a finished run by itself, in formats that its recipe need not name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nasforge.errors import RunError
from nasforge.files import read_json
from nasforge.observer import Observers
from nasforge.plugins import Registry
from nasforge.recipe import Recipe
from nasforge.recipe.export_table import ExportConfig, FormatName
from nasforge.runs.folder import RunFolder, not_a_run
from nasforge.runs.network import untrained
from nasforge.runs.opening import read_recipe
from nasforge.runs.scope import DERIVE, TEST, TRAIN
from nasforge.runs.stored import StageResult
from nasforge.stages.derive import DeriveResult
from nasforge.stages.export import EXPORT, Export, export_run, refuse_rejected

__all__ = ["export", "write_export"]

RESULT = "result.json"


class ExportResult(StageResult):
    """``export/result.json``."""

    formats: dict[str, dict[str, Any]]


def export(
    folder: str | Path, formats: Sequence[FormatName] | None = None, images: int | None = None
) -> dict[str, Any]:
    """Write the network of a finished run as files that work without nasforge, into its folder ``export``.

    The result is stored beside that of earlier exports. The local modules of the recipe are executed, as by
    `nasforge.load_network`.

    Examples:
        >>> result = export("runs/flowers", ["onnx", "standalone"])
        >>> for name, written in result["formats"].items():
        ...     print(name, written["max_difference"])

    Args:
        folder: The run folder.
        formats: Their names; None: those of the recipe.
        images: Over ``export.images``.

    Returns:
        ``formats`` by name, each with ``file``, ``bytes``, differences from the network, accuracy, latency
        and throughput, or with ``failed``; and ``source``, the network itself.

    Raises:
        RunError: The run is not finished, has no trained network, or a file disagrees with it; the other
            files and the result are stored then.
        RecipeError: The folder was made by another version of nasforge, whose recipes differ.
    """
    result = write_export(folder, formats, images)
    refuse_rejected(result["formats"])
    return result


def write_export(
    folder: str | Path, formats: Sequence[FormatName] | None = None, images: int | None = None
) -> dict[str, Any]:
    """Write and store the formats, but only mark files that disagree as ``rejected``; see `export`."""
    path = Path(folder)
    run_folder = RunFolder(path)
    if (resolved := run_folder.resolved) is None:
        raise RunError(not_a_run(path))
    if TRAIN.stage not in resolved:
        raise RunError(f"{path}: holds no trained network yet{untrained(run_folder, resolved)}")
    overrides = [] if images is None else [f"{EXPORT.stage}.images={images}"]
    recipe = read_recipe(run_folder, Registry.discover(), overrides)
    with run_folder.locked():
        return _export(recipe, run_folder, formats)


def _export(recipe: Recipe, folder: RunFolder, formats: Sequence[FormatName] | None) -> dict[str, Any]:
    from nasforge.runtime import Runtime
    from nasforge.stages.runner import Run  # imports torch

    run = Run(recipe, folder, Runtime.create("cpu"), Observers(()))
    for scope in (DERIVE, TRAIN, TEST):
        found = folder.stage(scope.stage) / RESULT
        if not found.exists():
            raise RunError(
                f"{folder.path}: is not finished, the {scope.stage} stage is missing. Finish it: "
                f"nasforge run {folder.path}"
            )
        run.results[scope.stage] = read_json(found, DeriveResult if scope is DERIVE else StageResult)
    stage = Export()
    stage.check(run)
    known = folder.stage(EXPORT.stage) / RESULT
    earlier = read_json(known, ExportResult) if known.exists() else {}
    mark = f"by command, of {run.results[TRAIN.stage]['fingerprint']}"
    if earlier.get(TRAIN.stage) != run.results[TRAIN.stage]["fingerprint"]:
        folder.begin(EXPORT.stage, mark)  # sets files of another training aside
        earlier = {}
    started = time.monotonic()
    result = export_run(run, formats or (recipe.export or ExportConfig()).formats)
    seconds = earlier.get("seconds", 0.0) + time.monotonic() - started
    # A stage that the recipe has stays done; another one is not done by this.
    mark = earlier.get("fingerprint", mark)
    formats_so_far = {**earlier.get("formats", {}), **result["formats"]}
    stored = {"stage": EXPORT.stage, **result, "formats": formats_so_far}
    folder.store(EXPORT.stage, {**stored, "seconds": round(seconds, 3), "fingerprint": mark})
    return result
