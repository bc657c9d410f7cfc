"""Nested state on disk without pickle: tensors in safetensors, everything else as JSON in its header.

Files are written beside and renamed, so a crash leaves the one before intact. `save` keeps one earlier
generation, and `load` falls back to it when the newest file cannot be read.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nasforge.errors import CheckpointError
from nasforge.files import sync

__all__ = ["load", "load_weights", "previous_path", "read", "save", "save_weights", "write"]

FORMAT = "nasforge-state-1"


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
    temporary = _write_beside(path, state)
    if path.exists():
        path.replace(previous_path(path))
    temporary.replace(path)
    sync(path.parent)


def load(path: Path) -> dict[str, Any] | None:
    """Read the newest state that can be read.

    Args:
        path: What `save` was given.

    Returns:
        The state, on the CPU; None if nothing was ever saved.

    Raises:
        CheckpointError: Files exist, but none can be read.
    """
    problems = []
    for candidate in (path, previous_path(path)):
        if not candidate.exists():
            continue
        try:
            state = read(candidate)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            warnings.warn(f"{problems[0]} Going on from the one before, {candidate.name}.", stacklevel=2)
        return state
    if problems:
        raise CheckpointError(" ".join([*problems, "Delete these files to start this stage anew."]))
    return None


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write one state atomically, with no earlier generation; see `save` for the arguments."""
    _write_beside(path, state).replace(path)
    sync(path.parent)


def read(path: Path) -> dict[str, Any]:
    """Read one file that `save` or `write` wrote.

    Raises:
        CheckpointError: The file is missing, truncated, or no nasforge checkpoint.
    """
    try:
        with safe_open(path, "pt", device="cpu") as file:
            header = file.metadata() or {}
            if FORMAT not in header:
                raise CheckpointError(f"{path}: is a safetensors file, but no {FORMAT} checkpoint.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _decode(json.loads(header[FORMAT]), tensors)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}).") from None


def save_weights(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a plain safetensors file of parameters and buffers by name, for any tool to read.

    Args:
        path: The file.
        tensors: What ``module.state_dict()`` returns.
        about: JSON data stored in the header, as its entry ``nasforge``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    copies = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
    save_file(copies, temporary, {"nasforge": json.dumps(about, sort_keys=True)})
    sync(temporary)
    temporary.replace(path)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the result of `save_weights`.

    Returns:
        Tensors by name, on the CPU, and what the header says about them; empty for a file of another origin.

    Raises:
        CheckpointError: The file is missing or truncated.
    """
    try:
        with safe_open(path, "pt", device="cpu") as file:
            about = json.loads((file.metadata() or {}).get("nasforge", "{}"))
            return {n: file.get_tensor(n) for n in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}).") from None


def _write_beside(path: Path, state: Mapping[str, Any]) -> Path:
    tensors: dict[str, Tensor] = {}
    owners: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}

    def encode(value: Any, at: str) -> Any:
        if isinstance(value, Tensor):
            # Tied modules reach one tensor by several paths: it is stored once.
            pointer = value.data_ptr() or id(value)
            identity = (pointer, value.shape, value.stride())
            if identity not in owners:
                owners[identity] = at
                tensors[at] = value.detach().cpu().contiguous()
            return {"~tensor": owners[identity]}
        if isinstance(value, Mapping):
            if all(isinstance(k, str) and not k.startswith("~") for k in value):
                return {k: encode(v, f"{at}/{k}") for k, v in value.items()}
            # JSON has text keys only, optimiser states have numbers.
            return {"~items": [[k, encode(v, f"{at}/{k}")] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return [encode(v, f"{at}/{i}") for i, v in enumerate(value)]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(
            f"{at} is a {type(value).__name__}: a state holds tensors, numbers, text, lists and dicts."
        )

    tree = encode(state, "")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    # One header entry only: safetensors writes several in random order, and equal states are equal bytes.
    save_file(tensors, temporary, {FORMAT: json.dumps(tree)})
    sync(temporary)
    return temporary


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if "~tensor" in value:
        return tensors[value["~tensor"]]
    if "~items" in value:
        return {k: _decode(v, tensors) for k, v in value["~items"]}
    return {k: _decode(v, tensors) for k, v in value.items()}
