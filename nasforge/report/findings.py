"""Findings at the end of a run, in sentences: missed limits, an undecided search, failed candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nasforge.constraints import UNITS, number
from nasforge.report.reading import Row, RunRecord
from nasforge.runs.scope import DERIVE, SEARCH

__all__ = ["COSTS_IN_WORDS", "Decision", "Finding", "decision", "find", "missed_limits"]

UNDECIDED, NEARLY_UNIFORM = 0.95, 1.3
"""A search is undecided from this mean entropy of its option weights (1 is uniform), if the heaviest option
weighs less than so many times what it would if all weighed the same."""

COSTS_IN_WORDS = {
    "params": "parameters",
    "macs": "MACs",
    "memory": "memory, MiB",
    "latency_ms": "latency, ms",
}


@dataclass(frozen=True)
class Finding:
    """Something to know before the result is used.

    Attributes:
        kind: ``"warning"`` for what makes the result doubtful, ``"note"`` for the rest.
        title: A few words.
        text: One or two sentences.
        run: The run it is about, where several are shown.
        misses_limit: Whether it is about a limit of the recipe that the result misses.
    """

    kind: Literal["warning", "note"]
    title: str
    text: str
    run: str = ""
    misses_limit: bool = False


@dataclass(frozen=True)
class Decision:
    """How decided the option weights of a search are.

    Attributes:
        entropy: Mean entropy of the choices; 1 is uniform, 0 is decided.
        confidence: Mean weight of the heaviest option, as a share of all of its choice.
        uniform: That weight if all options weighed the same.
    """

    entropy: float
    confidence: float
    uniform: float


def decision(weights: Mapping[str, Sequence[float]]) -> Decision | None:
    """Measure how decided option weights are.

    Args:
        weights: A weight per option by choice name.

    Returns:
        None if no choice has several options with weights.
    """
    entropies, heaviest, uniform = [], [], []
    for values in weights.values():
        total = sum(values)
        if len(values) < 2 or not total > 0 or min(values) < 0:
            continue
        shares = [value / total for value in values]
        entropies.append(-sum(s * math.log(s) for s in shares if s > 0) / math.log(len(shares)))
        heaviest.append(max(shares))
        uniform.append(1 / len(shares))
    if not entropies:
        return None
    count = len(entropies)
    return Decision(sum(entropies) / count, sum(heaviest) / count, sum(uniform) / count)


def missed_limits(results: Mapping[str, Row], limits: Mapping[str, Any]) -> list[Finding]:
    """Return a warning for every limit of ``[constraints]`` that the found architecture misses.

    Args:
        results: Results of the stages.
        limits: The ``[constraints]`` table.
    """
    over = (results.get(DERIVE.stage) or {}).get("over_limit") or {}
    found = []
    for name, much in over.items():
        metrics = limits.get("max_metrics") or {}
        option = f"max_metrics.{name}" if name in metrics else f"max_{name}"
        limit = metrics.get(name, limits.get(option))
        words = COSTS_IN_WORDS.get(name, name)
        if isinstance(limit, int | float) and limit > 0:
            text = (
                f"{words}: {number(limit + much)}, and constraints.{option} = {number(limit)}; over the "
                f"limit by {_in_unit(name, much)} ({100 * much / limit:.0f} %)."
            )
        else:
            text = f"{words}: over the limit by {_in_unit(name, much)}."
        found.append(Finding("warning", "limit missed", text, misses_limit=True))
    return found


def _in_unit(name: str, value: float) -> str:
    """Write a cost with its unit; a damaged file may have costs of any name."""
    return f"{number(value)} {UNITS.get(name, '')}".rstrip()


def find(record: RunRecord) -> list[Finding]:
    """Return everything to know about a run, warnings first."""
    found = missed_limits(record.results, record.resolved.get("constraints") or {})
    found += _beside_baseline(record.results.get(DERIVE.stage) or {})
    found += _undecided(record)
    found += _failures(record)
    if record.missing:
        names = ", ".join(record.missing)
        found.append(
            Finding("note", "unfinished", f"Not finished yet: {names}. Resume: nasforge run {record.folder}")
        )
    found += [Finding("note", "damaged file", problem) for problem in record.problems]
    return sorted(found, key=lambda finding: finding.kind != "warning")


def _beside_baseline(derived: Row) -> list[Finding]:
    """Return how the costs of the result compare with those of the space's baseline, if it has one."""
    baseline = derived.get("baseline") or {}
    parts = []
    for name, words in COSTS_IN_WORDS.items():
        ours, theirs = derived.get(name), baseline.get(name)
        if isinstance(ours, int | float) and isinstance(theirs, int | float) and theirs > 0:
            parts.append(f"{words}: {number(ours)} of {number(theirs)} ({100 * ours / theirs:.0f} %)")
    if not parts:
        return []
    return [Finding("note", f"beside {str(baseline.get('notation'))!r}", f"{'; '.join(parts)}.")]


def _undecided(record: RunRecord) -> list[Finding]:
    if SEARCH.stage not in record.results:
        return []
    last = next((row for row in reversed(record.trajectory) if row.get("weights")), None)
    measured = decision(last["weights"]) if last else None
    if measured is None or measured.entropy < UNDECIDED:
        return []
    if measured.confidence >= NEARLY_UNIFORM * measured.uniform:
        return []
    text = (
        f"the option weights are close to uniform (entropy {measured.entropy:.3f}, 1 is uniform; the "
        f"heaviest option of a choice weighs {measured.confidence:.3f}, {measured.uniform:.3f} would be "
        "uniform). The architecture is hardly better founded than a random one: search longer, or let the "
        "architecture learn faster."
    )
    return [Finding("warning", "undecided search", text)]


def _failures(record: RunRecord) -> list[Finding]:
    failed = (record.results.get(SEARCH.stage) or {}).get("failed") or []
    if not failed:
        return []
    reason = str(failed[0].get("reason", "unknown")).rstrip(".")
    count = f"{len(failed)} candidate{'s' if len(failed) > 1 else ''}"
    return [Finding("note", "failures", f"{count} could not be evaluated. The first one: {reason}.")]
