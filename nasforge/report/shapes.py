"""Content of files that other versions or people may have written: what has another type is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

__all__ = ["is_number", "shaped_choices", "shaped_result", "shaped_rows", "shaped_runs", "shaped_trajectory"]


LARGEST = 10**300


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number; truth values are not."""
    if isinstance(value, int):  # one of 400 digits is no float
        return not isinstance(value, bool) and abs(value) < LARGEST
    return isinstance(value, float) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _are_numbers(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(is_number, value.values()))


def _are_mappings(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_mapping, value))


def _are_picks(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str | list) for one in value.values())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


RESULT: Mapping[str, Callable[[object], bool]] = {
    "accuracy": is_number,
    "architecture": _are_picks,
    "baseline": _is_mapping,
    "class_names": lambda value: isinstance(value, list),
    "failed": _are_mappings,
    "front": lambda value: isinstance(value, list),
    "latency_ms": is_number,
    "looked_up": _are_numbers,
    "macs": is_number,
    "memory": is_number,
    "notation": _is_text,
    "over_limit": _are_numbers,
    "params": is_number,
    "searcher": _is_mapping,
    "seconds": is_number,
    "steps": _is_count,
}
"""Checks of the entries of a ``result.json`` that reports read; others stay as they are."""


def shaped_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a stage without entries of a wrong type."""
    return {key: value for key, value in result.items() if key not in RESULT or RESULT[key](value)}


def shaped_runs(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the results of runs of a bench that have a seed and a score, with the numbers that are sound."""
    return [
        {k: v for k, v in row.items() if k not in ("evaluations", "seconds") or is_number(v)}
        for row in rows
        if is_number(row.get("score")) and _is_count(row.get("seed"))
    ]


def shaped_rows(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of metrics that have a stage and a step, with the values that are numbers."""
    return [
        {k: v for k, v in row.items() if k in ("stage", "arch") or isinstance(v, float) or is_number(v)}
        for row in rows
        if is_number(row.get("step")) and _is_text(row.get("stage"))
    ]


def shaped_trajectory(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of a trajectory that have a step; weights and evaluations are sound, or not there."""
    found: list[Mapping[str, Any]] = []
    for row in rows:
        if not is_number(row.get("step")):
            continue
        kept = {key: value for key, value in row.items() if key not in ("weights", "evaluated")}
        weights, evaluated = row.get("weights"), row.get("evaluated")
        if isinstance(weights, Mapping):
            kept["weights"] = {
                name: values
                for name, values in weights.items()
                if isinstance(values, Sequence) and values and all(map(is_number, values))
            }
        if isinstance(evaluated, Mapping) and (evaluated.get("failed") or is_number(evaluated.get("score"))):
            metrics = evaluated.get("metrics")
            numbers = metrics if isinstance(metrics, Mapping) else {}
            kept["evaluated"] = {**evaluated, "metrics": {k: v for k, v in numbers.items() if is_number(v)}}
        found.append(kept)
    return found


def shaped_choices(choices: object) -> list[Mapping[str, Any]]:
    """Return the choices that have a name and options."""
    return [
        {**choice, "options": [str(option) for option in choice["options"]]}
        for choice in (choices if isinstance(choices, list) else [])
        if isinstance(choice, Mapping)
        and _is_text(choice.get("name"))
        and isinstance(choice.get("options"), list)
    ]
