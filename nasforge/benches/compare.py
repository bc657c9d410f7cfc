"""Finished runs and benches compared: lines per searcher and setup, and what differs between setups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasforge.benches.finished import TABLES, Finished, read_folder
from nasforge.benches.standings import Group, Standing, standings
from nasforge.errors import RunError, suggest
from nasforge.plugins import Registry
from nasforge.plugins.masking import is_secret, mask_options
from nasforge.recipe.bench_table import installed_baselines
from nasforge.recipe.toml_text import to_toml
from nasforge.runs.folder import differing, word_option

__all__ = ["Comparison", "compare_folders"]

MEASURED_BY = {"accuracy": ("data",), "score": ("data", "evaluator")}
"""Tables that a metric depends on, beside the architecture."""

MOST_NOTES, MOST_PARTS = 20, 3
"""Differences that are listed, and those that fit into the name of a line."""


@dataclass(frozen=True)
class Comparison:
    """Searchers side by side.

    Attributes:
        metric: The compared number.
        baseline: The searcher that the others are compared with.
        standings: A line per searcher.
        notes: Cautions for the reader.
    """

    metric: str
    baseline: str
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = field(default=())


def compare_folders(
    paths: Sequence[Path], metric: str | None = None, baseline: str | None = None, allow: Iterable[str] = ()
) -> Comparison:
    """Compare the searchers of runs and benches, paired by seed.

    Runs of one searcher with different setups (see `TABLES`) are compared with each other, and the notes list
    what differs.

    Args:
        paths: Folders of finished runs, or of benches.
        metric: The number to compare; None for the first that every run has of test accuracy,
            score and the numbers of a table.
        baseline: The searcher to compare with; None for the baseline of a bench, an installed searcher
            that provides `nasforge.searcher.BaselineSearcher`, or the first.
        allow: Which of `TABLES` may differ between the runs of one line.

    Raises:
        RunError: A folder is none of these or given twice, the runs have no number in common, or a name is
            unknown.
    """
    if twice := [path for path, count in Counter(path.resolve() for path in paths).items() if count > 1]:
        raise RunError(f"compare: {twice[0]} is given twice. Leave one out.")
    runs = [run for path in paths for run in read_folder(path)]
    allowed = tuple(allow)
    if unknown := [name for name in allowed if name not in TABLES]:
        raise RunError(f"compare: --allow {unknown[0]}: no such table.{suggest(unknown[0], TABLES)}")
    chosen = _metric(runs, metric)
    notes = _describe_differences(runs, chosen)
    named = _named(runs, [table for table in TABLES if table not in allowed], notes)
    groups = []
    for name, members in named.items():
        groups.append(
            Group(
                name,
                {run.seed: run.metrics[chosen] for run in members},
                {run.seed: run.evaluations for run in members if run.evaluations is not None},
                {run.seed: run.seconds for run in members if run.seconds is not None},
            )
        )
    first = _baseline(runs, list(named), baseline)
    found = standings(groups, first)
    for standing in found:
        if standing.name != first and standing.difference is None:
            notes.append(f"{standing.name} and {first} have no seed in common, so they are not paired.")
        elif standing.difference and standing.difference.pairs == 1:
            notes.append(f"{standing.name} and {first} have one seed in common: that shows no difference.")
    return Comparison(chosen, first, tuple(found), tuple(notes))


def _apart(one: Finished, other: Finished, tables: Iterable[str] = TABLES) -> Iterator[tuple[str, Any, Any]]:
    """Yield name and both values of what differs between two setups; a table of another plugin is one."""
    for table in tables:
        old, new = one.tables[table], other.tables[table]
        if isinstance(old or new, dict) and table == "constraints":  # has no table without limits
            old, new = old or {}, new or {}
        if isinstance(old, dict) and isinstance(new, dict) and old.get("use") != new.get("use"):
            yield f"{table}.use", old.get("use"), new.get("use")
        else:
            yield from differing({table: old}, {table: new})


def _setups(runs: Sequence[Finished], tables: Sequence[str]) -> list[int]:
    """Return for each run the position of the first one with the same setup."""
    found: list[int] = []
    for run in runs:
        known = dict.fromkeys(found)
        alike = (first for first in known if not any(_apart(runs[first], run, tables)))
        found.append(next(alike, len(found)))
    return found


def _describe_differences(runs: Sequence[Finished], metric: str) -> list[str]:
    """Return a note per option in which a setup differs from the first one."""
    others = [runs[at] for at in dict.fromkeys(_setups(runs, TABLES)) if at]
    notes = [
        f"differs: {name}: {word_option(mask_options(old, name))} in {runs[0].folder}, "
        f"{word_option(mask_options(new, name))} in {other.folder}"
        for other in others
        for name, old, new in _apart(runs[0], other)
    ]
    if len(notes) > MOST_NOTES:
        notes[MOST_NOTES:] = [f"differs: {len(notes) - MOST_NOTES} more options"]
    tables = [t for t in MEASURED_BY.get(metric, ()) if any(any(_apart(runs[0], o, [t])) for o in others)]
    if tables:
        options = " and ".join(f"[{table}]" for table in tables)
        notes.append(f"{metric} depends on {options}, which differ: it is not the same number in all runs.")
    return notes


def _named(runs: Sequence[Finished], tables: Sequence[str], notes: list[str]) -> dict[str, list[Finished]]:
    """Sort runs by searcher and setup; those of one name are told apart by what differs, then by folder.

    Args:
        runs: All runs.
        tables: The tables that make a setup.
        notes: Runs that are alike in everything, the seed included, are noted here.
    """
    same: dict[tuple[str, str, int], list[Finished]] = {}
    for run, setup in zip(runs, _setups(runs, tables), strict=True):
        same.setdefault((run.label, to_toml(dict(run.options)), setup), []).append(run)
    groups: dict[tuple[str, str, int, str], list[Finished]] = {}
    for (label, options, setup), members in same.items():
        # Two benches may hold the same searcher with the same seeds: from before and after a change.
        split = len({run.seed for run in members}) < len(members)
        for run in members:
            origin = str(run.folder) if split and run.baseline is not None else ""
            group = groups.setdefault((label, options, setup, origin), [])
            if twins := [other for other in group if other.seed == run.seed]:
                notes.append(
                    f"{twins[0].folder} and {run.folder} are both {label!r} with seed {run.seed}, and their "
                    "recipes do not differ."
                )
                group = groups.setdefault((label, options, setup, str(run.folder)), [])
            group.append(run)
    found: dict[str, list[Finished]] = {}
    for (label, _, _, origin), members in groups.items():
        mine = members[0]
        others = [runs[0] for (other, *_), runs in groups.items() if other == label]
        parts = [
            f"{k} = {to_toml(v)}"
            for k, v in mine.options.items()
            if any(o.options.get(k) != v for o in others)
        ]
        parts += _name_setup(mine, others, tables)
        parts += [origin] if origin else []
        found[f"{label} ({', '.join(parts)})" if parts else label] = members
    return found


def _name_setup(mine: Finished, others: Iterable[Finished], tables: Iterable[str]) -> list[str]:
    """Return what is special about a setup, for the name of its line; the folder, if that is too much."""
    special = {name: value for other in others for name, value, _ in _apart(mine, other, tables)}
    if len(special) > MOST_PARTS or any(map(is_secret, special)):
        return [str(mine.folder)]
    return [f"no {k}" if v is None else f"{k} = {to_toml(v)}" for k, v in special.items()]


def _metric(runs: Sequence[Finished], wanted: str | None) -> str:
    common = set(runs[0].metrics).intersection(*(run.metrics for run in runs))
    if wanted is not None:
        if wanted not in common:
            raise RunError(f"compare: not every run has a number {wanted!r}.{suggest(wanted, common)}")
        return wanted
    tables = sorted(name for name in common if name.endswith("valid_accuracy"))
    for name in ("accuracy", "score", *tables):
        if name in common:
            return name
    raise RunError("compare: these runs have neither a test accuracy nor a score in common. Give --metric.")


def _baseline(runs: Sequence[Finished], names: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in names:
            raise RunError(f"compare: --baseline {wanted}: no such searcher here.{suggest(wanted, names)}")
        return wanted
    proposed = [*(run.baseline for run in runs if run.baseline), *installed_baselines(Registry.discover())]
    labelled = (
        name for label in proposed for name in names if name == label or name.startswith(f"{label} (")
    )
    return next(labelled, names[0])
