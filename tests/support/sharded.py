"""Recipes of one run per searcher and trainer that learn in shards, small enough for tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from nasforge.runtime import checkpoint
from support.tiny_recipe import tiny


def sharded(kind: str, shards: int = 4, **run: Any) -> dict[str, Any]:
    """Return a recipe that trains in shards.

    Args:
        kind: A gradient searcher, ``"spos"`` or ``"train"``.
        shards: Parts of every batch.
        **run: Further options of ``[run]``.
    """
    recipe = tiny(
        run={"name": "sharded", "threads": 1, "shards": shards, "report": False, **run},
        data={"train_images": 32, "batch_size": 8, "select_share": 0.0},
        space={"use": "nasbench201", "channels": 4, "search_cells": 1, "cells": 1, "eval_cells": 1},
        train=None,
    )
    if kind == "train":
        recipe["searcher"] = {"use": "random", "evaluations": 1}
        recipe["evaluator"] = {"use": "train", "epochs": 1, "batch_size": 8}
        train = {"use": "train", "epochs": 2, "batch_size": 16, "cutout": 4, "drop_path": 0.3}
        recipe["train"] = {**train, "accumulate": 2, "clip": 1.0, "ema": {"decay": 0.9}}
    elif kind == "spos":
        recipe["searcher"] = {"use": "spos", "population": 4, "generations": 2, "parents": 2}
        recipe["evaluator"] = {"use": "supernet", "epochs": 2, "batch_size": 8, "recalibration_images": 16}
    elif kind == "cdarts":
        recipe["searcher"] = {
            "use": "cdarts",
            "iterations": 2,
            "warmup_epochs": 1,
            "twin": {"warmup_epochs": 1},
        }
        recipe["distiller"] = {"use": "stages"}
    else:
        recipe["searcher"] = {"use": kind, "epochs": 2, "warmup_epochs": 1}
    return recipe


def result_of(folder: Path) -> dict[str, str]:
    """Return checksums of everything in a run folder that does not depend on clocks, by file."""
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        if ".previous" not in path.name and ".damaged" not in path.name:
            name = path.relative_to(folder).as_posix()
            found[name] = _digest(
                checkpoint.load_weights(path)[0] if "weights" in name else checkpoint.read(path)
            )
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found["metrics"] = _digest(rows)
    return found


def _digest(state: Any) -> str:
    hasher = hashlib.sha256()
    _feed(hasher, state)
    return hasher.hexdigest()[:16]


def _feed(hasher: Any, state: Any) -> None:
    if isinstance(state, dict):
        for name in sorted(state, key=str):
            if name not in ("seconds", "cost"):
                hasher.update(str(name).encode())
                _feed(hasher, state[name])
    elif hasattr(state, "numpy"):
        hasher.update(str(tuple(state.shape)).encode() + state.contiguous().flatten().numpy().tobytes())
    elif isinstance(state, str | bytes | int | float | bool | None):
        hasher.update(repr(state).encode())
    else:
        for item in state:
            _feed(hasher, item)
