"""Mistakes of a network on the test images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nasforge.report.reading import Row, RunRecord
from nasforge.report.shapes import is_number
from nasforge.runs.scope import TEST

__all__ = ["ClassRow", "Confusion", "Mistakes", "Thumbnail", "find_mistakes"]

MOST_CLASSES = 20
"""Classes of a confusion matrix; of more, the most frequent confusions are listed instead."""

LISTED = 15

LARGEST = 1_000_000
"""No data set has so many classes: a larger label is damage, and would take memory for the names."""

PICTURE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/=]+")


@dataclass(frozen=True)
class ClassRow:
    """A row of the confusion matrix.

    Attributes:
        name: The true class.
        counts: How often each class was predicted, with the share of the row from 0 to 1.
        images: Number of images of the class.
        recall: Share of them that are right, in percent.
    """

    name: str
    counts: tuple[tuple[int, float], ...]
    images: int
    recall: float


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another one.

    Attributes:
        label: The true class.
        predicted: The other one.
        count: Number of images.
    """

    label: str
    predicted: str
    count: int


@dataclass(frozen=True)
class Thumbnail:
    """An image that is classified badly.

    Attributes:
        image: A data URI.
        label: The true class.
        predicted: The predicted class.
        percent: Its probability.
        index: Place among the test images, from 0.
    """

    image: str
    label: str
    predicted: str
    percent: str
    index: int


@dataclass(frozen=True)
class Mistakes:
    """The confusions and the worst images of a run.

    Attributes:
        names: The classes; empty if there are too many for a matrix.
        rows: The matrix.
        confusions: The most frequent confusions, most frequent first.
        worst: The images of highest loss.
        images: Number of test images.
        wrong: Number of those that are wrong.
    """

    names: tuple[str, ...]
    rows: tuple[ClassRow, ...]
    confusions: tuple[Confusion, ...]
    worst: tuple[Thumbnail, ...]
    images: int
    wrong: int


def find_mistakes(record: RunRecord) -> Mistakes | None:
    """Return what the network got wrong; None if that was not recorded."""
    counts = _counts(record.predictions.get("confusion"))
    if not counts:
        return None
    named = record.results.get(TEST.stage, {}).get("class_names")
    classes = max(max(pair) for pair in counts) + 1
    classes = max(classes, len(named)) if isinstance(named, list) else classes
    names = [str(named[i]) if isinstance(named, list) and i < len(named) else str(i) for i in range(classes)]
    wrong = {pair: n for pair, n in counts.items() if pair[0] != pair[1]}
    ordered = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    few = classes <= MOST_CLASSES
    return Mistakes(
        tuple(names) if few else (),
        tuple(_row(label, names, counts) for label in range(classes)) if few else (),
        tuple(Confusion(names[a], names[b], n) for (a, b), n in ordered[:LISTED]),
        tuple(_thumbnails(record.predictions.get("worst"), names)),
        sum(counts.values()),
        sum(wrong.values()),
    )


def _counts(rows: object) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for row in rows if isinstance(rows, list) else []:
        whole = isinstance(row, list) and all(isinstance(v, int) and v >= 0 for v in row)
        if whole and len(row) == 3 and max(row[:2]) < LARGEST:
            found[row[0], row[1]] = row[2]
    return found


def _row(label: int, names: Sequence[str], counts: Mapping[tuple[int, int], int]) -> ClassRow:
    values = [counts.get((label, predicted), 0) for predicted in range(len(names))]
    images = sum(values)
    shares = tuple((value, value / images if images else 0.0) for value in values)
    return ClassRow(names[label], shares, images, 100 * values[label] / images if images else 0.0)


def _thumbnails(rows: object, names: Sequence[str]) -> list[Thumbnail]:
    found = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, Mapping) or not PICTURE.fullmatch(str(row.get("image", ""))):
            continue
        label, predicted = _name(row, "label", names), _name(row, "predicted", names)
        chance = row.get("probability")
        percent = f"{100 * chance:.0f} %" if is_number(chance) else ""
        index = row.get("index")
        index = index if isinstance(index, int) else 0
        found.append(Thumbnail(str(row["image"]), label, predicted, percent, index))
    return found


def _name(row: Row, key: str, names: Sequence[str]) -> str:
    value = row.get(key)
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else str(value)
