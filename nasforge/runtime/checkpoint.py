"""Nested state on disk without pickle: tensors in safetensors, everything else as JSON in its header.

Files are written beside and renamed, so a crash leaves the one before intact, and carry a checksum. `save`
keeps one earlier generation, and `load` falls back to it when the newest file cannot be read. Lists that only
grow (`nasforge.rows.AppendOnly`) lie in files of their own, and every generation holds their length.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasforge.errors import CheckpointError, InaccessibleError
from nasforge.files import replacing, sync
from nasforge.rows import AppendOnly
from nasforge.runtime.row_file import append_rows, read_rows
from nasforge.runtime.seal import read_sealed, write_sealed

__all__ = ["delete", "load", "load_weights", "previous_path", "read", "save", "save_weights", "write"]

FORMAT = "nasforge-state-2"
TREE = "~state"
"""Name of the tensor that holds the JSON of a state which is too long for a header."""

PLAIN = frozenset({type(None), bool, int, float, str})
LONG = 10_000_000
WEIGHTS = "nasforge"


def previous_path(path: Path) -> Path:
    """Return the path of the generation before ``path``."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, keeping the one before as a fall-back.

    Args:
        path: The file; its folder is made.
        state: Tensors, numbers, text, lists and dicts of them.

    Raises:
        TypeError: The state holds anything else; names where.
    """
    with replacing(path) as temporary:
        _write(temporary, path, state)
        if path.exists():
            path.replace(previous_path(path))
    sync(path.parent)


def load(path: Path) -> dict[str, Any] | None:
    """Read the newest state that can be read. One that cannot be read is set aside as ``*.damaged.*``.

    Args:
        path: The path that `save` was given.

    Returns:
        The state, on the CPU; None if nothing was ever saved.

    Raises:
        CheckpointError: Files exist, but none can be read.
        InaccessibleError: The newest may be sound, but this process cannot open it.
    """
    problems = []
    for candidate in (path, previous_path(path)):
        if not candidate.exists():
            continue
        try:
            state = read(candidate)
        except InaccessibleError:
            raise
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            # The next save would put it in the place of the generation that is good.
            path.replace(path.with_name(f"{path.stem}.damaged{path.suffix}"))
            warnings.warn(f"{problems[0]} Resuming from the one before, {candidate.name}.", stacklevel=2)
        return state
    if problems:
        raise CheckpointError(" ".join([*problems, "Delete these files to start this stage anew."]))
    return None


def delete(path: Path) -> None:
    """Remove every generation of a state, and its growing lists."""
    for old in (path, previous_path(path), *path.parent.glob(f"{path.stem}~*.jsonl")):
        old.unlink(missing_ok=True)


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write one state atomically, with no earlier generation; see `save` for the arguments."""
    with replacing(path) as temporary:
        _write(temporary, path, state)
    sync(path.parent)


def read(path: Path) -> dict[str, Any]:
    """Read one file that `save` or `write` wrote.

    Raises:
        CheckpointError: The file is missing, truncated, damaged, or no nasforge checkpoint.
    """
    tensors, entries = read_sealed(path)
    if FORMAT not in entries:
        raise CheckpointError(
            f"{path}: is a safetensors file, but no {FORMAT} checkpoint. Another version of nasforge may "
            "have written it."
        )
    try:
        tree = entries[FORMAT]["state"]
        if tree is None:
            tree = json.loads(tensors[TREE].numpy().tobytes())
        state = _decode(tree, tensors, lambda about: read_rows(path.parent, about))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error}).") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, not a state.")
    return state


def save_weights(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a plain safetensors file of parameters and buffers by name, for any tool to read.

    Args:
        path: The file.
        tensors: The result of ``module.state_dict()``.
        about: JSON data stored in the header, as its entry ``nasforge``; a checksum is added.
    """
    copies = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
    with replacing(path) as temporary:
        write_sealed(temporary, copies, WEIGHTS, json.dumps(about, sort_keys=True))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the result of `save_weights`.

    Returns:
        Tensors by name, on the CPU, and what the header says about them.

    Raises:
        CheckpointError: The file is missing, truncated, damaged, or of another origin.
    """
    tensors, entries = read_sealed(path)
    if WEIGHTS not in entries:
        raise CheckpointError(f"{path}: is a safetensors file, but not of weights that nasforge wrote.")
    return tensors, entries[WEIGHTS]


def _write(temporary: Path, path: Path, state: Mapping[str, Any]) -> None:
    """Write a state into a file beside its place, whose name its rows have."""
    tensors: dict[str, Tensor] = {}
    owners: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}

    def encode(value: Any, at: str) -> Any:
        if type(value) in PLAIN:
            return value
        if isinstance(value, Tensor):
            # Tied modules reach one tensor by several paths: it is stored once.
            pointer = value.data_ptr() or id(value)
            identity = (pointer, value.shape, value.stride())
            if identity not in owners:
                owners[identity] = at
                tensors[at] = value.detach().cpu().contiguous()
            return {"~tensor": owners[identity]}
        if isinstance(value, AppendOnly):
            place = re.sub(r"[^\w.-]", "~", at)
            return {"~rows": append_rows(path.with_name(f"{path.stem}{place}.jsonl"), value)}
        if isinstance(value, Mapping):
            if all(isinstance(k, str) and not k.startswith("~") for k in value):
                return {k: encode(v, f"{at}/{k}") for k, v in value.items()}
            # JSON has text keys only, optimiser states have numbers.
            return {"~items": [[k, encode(v, f"{at}/{k}")] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            if PLAIN.issuperset(map(type, value)):  # such as the state of a generator: every step has one
                return list(value)
            return [encode(v, f"{at}/{i}") for i, v in enumerate(value)]
        if isinstance(value, int | float | str):
            return value
        raise TypeError(
            f"{at} is a {type(value).__name__}: a state holds tensors, numbers, text, lists and dicts."
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    tree = encode(state, "")
    text = json.dumps({"state": tree})
    if len(text) > LONG:
        tensors[TREE] = torch.frombuffer(bytearray(json.dumps(tree).encode()), dtype=torch.uint8)
        text = json.dumps({"state": None})
    write_sealed(temporary, tensors, FORMAT, text)


def _decode(value: Any, tensors: Mapping[str, Tensor], rows: Callable[[Any], AppendOnly]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors, rows) for v in value]
    if not isinstance(value, dict):
        return value
    if "~tensor" in value:
        return tensors[value["~tensor"]]
    if "~rows" in value:
        return rows(value["~rows"])
    if "~items" in value:
        return {k: _decode(v, tensors, rows) for k, v in value["~items"]}
    return {k: _decode(v, tensors, rows) for k, v in value.items()}
