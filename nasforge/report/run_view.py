"""The parts of a report on one run, ready for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasforge.report.cells import Drawing, draw_graphs
from nasforge.report.departures import MISSING, Option, options_of
from nasforge.report.deployment import Deployment, deployment_of
from nasforge.report.findings import COSTS_IN_WORDS, Finding, find
from nasforge.report.mistakes import Mistakes, find_mistakes
from nasforge.report.numbers import NOTHING, compact, duration, plain
from nasforge.report.panels import Legend, Panel, constant_metrics, metric_panels
from nasforge.report.pareto import Pareto, pareto_of
from nasforge.report.reading import RunRecord
from nasforge.report.weights import ChoiceGroup, choice_groups, decision_panel, option_legend
from nasforge.runs.scope import SEARCH, TEST, TRAIN

__all__ = ["Phase", "RunView", "Tile", "accuracies", "option_text", "run_view", "tiles_of"]


@dataclass(frozen=True)
class Tile:
    """A number that matters.

    Attributes:
        label: Its name.
        value: As text.
        detail: In small letters below.
        bad: Whether it misses a limit.
    """

    label: str
    value: str
    detail: str = ""
    bad: bool = False


@dataclass(frozen=True)
class Phase:
    """A stage in the bar of time.

    Attributes:
        name: The stage.
        time: Its duration as text.
        share: Of the whole time, in percent.
    """

    name: str
    time: str
    share: float


@dataclass(frozen=True)
class RunView:
    """Values for the template of a run; empty parts are left out."""

    record: RunRecord
    lead: str
    subtitle: str
    tiles: list[Tile]
    phases: list[Phase]
    findings: list[Finding]
    drawings: list[Drawing]
    notation: str
    answers: list[tuple[str, str]]
    search: list[Panel]
    remarks: list[tuple[str, str]]
    choice_groups: list[ChoiceGroup]
    legend: list[Legend]
    pareto: Pareto | None
    train: list[Panel]
    constant: list[tuple[str, str]]
    numbers: list[tuple[str, str]]
    mistakes: Mistakes | None
    deployment: Deployment | None
    departures: list[tuple[str, str, str]]
    options: list[Option]
    environment: list[tuple[str, str]]


def run_view(record: RunRecord) -> RunView:
    """Prepare everything that a report shows of a run."""
    search_rows = record.rows(SEARCH.stage)
    decided = decision_panel(record)
    search = metric_panels(search_rows, "step", skip=_shown_elsewhere(search_rows, decided))
    if decided:
        search.insert(min(2, len(search)), decided)
    options = options_of(record.resolved)
    return RunView(
        record=record,
        lead=_lead(record),
        subtitle=_subtitle(record),
        tiles=tiles_of(record),
        phases=_phases(record),
        findings=find(record),
        drawings=draw_graphs(record.graphs.get("best")),
        notation=str(record.first("notation") or ""),
        answers=_answers(record.first("architecture")),
        search=search,
        remarks=_remarks(record),
        choice_groups=choice_groups(record),
        legend=option_legend(record),
        pareto=pareto_of(record),
        train=metric_panels(record.rows(TRAIN.stage), "epoch"),
        constant=constant_metrics(record.rows(TRAIN.stage)),
        numbers=_numbers(record),
        mistakes=find_mistakes(record),
        deployment=deployment_of(record),
        departures=[(o.name, option_text(o.value), option_text(o.default)) for o in options if o.departs],
        options=options,
        environment=environment_rows(record.environment),
    )


_ACCURACIES = {
    "accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
    "accuracy_best": "best of the last epochs, chosen on the test images",
}
"""Names of accuracies in words; others are shown as they are called."""


def accuracies(record: RunRecord) -> dict[str, float]:
    """Return all accuracies that the stages report, by their name in words; later stages win."""
    found: dict[str, float] = {}
    for result in record.results.values():
        for source in (result.get("metrics"), result):
            if isinstance(source, Mapping):
                found |= {
                    name: float(value)
                    for name, value in source.items()
                    if "accuracy" in name and isinstance(value, int | float)
                }
    words = _ACCURACIES if TEST.stage in record.results else {}
    return {words.get(name, name.replace("_", " ")): value for name, value in found.items()}


def tiles_of(record: RunRecord) -> list[Tile]:
    """Return the numbers that matter most: accuracy, costs, time."""
    tiles = []
    measured = record.results.get(TEST.stage, {}).get("accuracy")
    if isinstance(measured, int | float):
        images = record.predictions.get("images")
        detail = f"on {images:,} test images" if isinstance(images, int) else "on the test images"
        tiles.append(Tile("Test accuracy", f"{measured:.2f} %", detail))
    else:
        scores = [row["best_score"] for row in record.rows(SEARCH.stage) if "best_score" in row]
        if scores:
            tiles.append(Tile("Best score", plain(scores[-1]), "of the search"))
        looked_up = record.first("looked_up") or {}
        for name in [name for name in looked_up if name.endswith("test_accuracy")][:1]:
            tiles.append(Tile("Accuracy, looked up", f"{looked_up[name]:.2f} %", name.replace("_", " ")))
    limits = record.resolved.get("constraints") or {}
    over = record.first("over_limit") or {}
    for name, words in COSTS_IN_WORDS.items():
        value = record.first(name)
        if not isinstance(value, int | float):
            continue
        label, _, unit = words.partition(", ")
        limit = limits.get(f"max_{name}")
        detail = f"limit {compact(limit)}" if isinstance(limit, int | float) else ""
        if name in over:
            detail = f"over the limit of {compact(limit)}" if limit else "over the limit"
        text = f"{compact(value)} {unit}".strip()
        tiles.append(Tile(label[0].upper() + label[1:], text, detail, bad=name in over))
    seconds = sum(phase for phase in _seconds(record).values())
    if seconds:
        tiles.append(Tile("Time", duration(seconds), "finished stages" if record.missing else "all stages"))
    return tiles


def option_text(value: Any) -> str:
    """Write the value of an option as in a recipe."""
    if value is MISSING:
        return NOTHING
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[{', '.join(map(option_text, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {option_text(one)}" for key, one in value.items()) + "}"
    return str(value)


def environment_rows(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the environment as pairs of name and text."""
    shown = {
        "started": "Started",
        "command": "Command",
        "nasforge": "nasforge",
        "commit": "Commit",
        "plugins": "Plugins",
        "python": "Python",
        "versions": "Versions",
        "platform": "Platform",
        "cpu": "Processor",
        "cores": "Cores",
        "threads": "Threads",
        "device": "Device",
        "accelerator": "Accelerator",
        "precision": "Precision",
        "seed": "Seed",
    }
    rows = []
    for key, label in shown.items():
        value = environment.get(key)
        if value is None or value == []:
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        elif isinstance(value, list):
            value = (" " if key == "command" else ", ").join(map(str, value))
        rows.append((label, str(value)))
    processes = environment.get("processes")
    if isinstance(processes, list) and len(processes) > 1:
        rows.append(("Processes", f"{len(processes)}; the last one is shown"))
    return rows


def _used(record: RunRecord, table: str) -> str:
    body = record.resolved.get(table)
    return str(body.get("use", "")) if isinstance(body, Mapping) else ""


def _lead(record: RunRecord) -> str:
    """Return the result in one or two sentences."""
    searcher, space, data = (_used(record, table) for table in ("searcher", "space", "data"))
    steps = record.results.get(SEARCH.stage, {}).get("steps") or len(record.rows(SEARCH.stage))
    text = f"{searcher} searched the space {space}{f' on {data}' if data else ''}"
    text += f" for {steps:,} step{'' if steps == 1 else 's'}." if steps else "."
    accuracy = record.results.get(TEST.stage, {}).get("accuracy")
    if isinstance(accuracy, int | float):
        images = record.predictions.get("images")
        count = f"{images:,} " if isinstance(images, int) else "the "
        text += f" The network that it found is right on {accuracy:.2f} % of {count}test images."
    return text


def _subtitle(record: RunRecord) -> str:
    run = record.resolved["run"]
    started = str(record.environment.get("started", ""))[:16].replace("T", " ")
    device = str(record.environment.get("device", ""))
    parts = [f"seed {run.get('seed', 0)}", device, f"{started} UTC" if started else ""]
    return " · ".join(part for part in parts if part)


def _seconds(record: RunRecord) -> dict[str, float]:
    return {name: float(result["seconds"]) for name, result in record.results.items() if "seconds" in result}


def _phases(record: RunRecord) -> list[Phase]:
    seconds = _seconds(record)
    whole = sum(seconds.values())
    return [Phase(n, duration(s), 100 * s / whole) for n, s in seconds.items()] if whole else []


def _answers(architecture: Any) -> list[tuple[str, str]]:
    return [
        (str(name), ", ".join(map(str, answer)) if isinstance(answer, list) else str(answer))
        for name, answer in (architecture or {}).items()
    ]


def _remarks(record: RunRecord) -> list[tuple[str, str]]:
    """Return the remarks in the searcher's summary, as pairs of name and text."""
    summary = record.results.get(SEARCH.stage, {}).get("searcher") or {}
    return [
        (name.replace("_", " "), str(entry["text"]))
        for name, entry in summary.items()
        if isinstance(entry, Mapping) and entry.get("text")
    ]


def _numbers(record: RunRecord) -> list[tuple[str, str]]:
    rows = [(name, f"{value:.2f} %") for name, value in accuracies(record).items()]
    looked_up = record.first("looked_up") or {}
    return rows + [
        (f"{name.replace('_', ' ')} (looked up)", plain(value, 5))
        for name, value in looked_up.items()
        if isinstance(value, int | float)
    ]


def _shown_elsewhere(rows: Sequence[Mapping[str, Any]], decided: Panel | None) -> list[str]:
    """Return the metrics that repeat the option weights."""
    names = {name for row in rows for name in row}
    return [n for n in names if decided and n.endswith(("entropy", "confidence"))]
