"""The classes of a run's images: a resumed run must find those that it began with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasforge.errors import RunError
from nasforge.files import read_json
from nasforge.runs.folder import RunFolder, fingerprint
from nasforge.runs.scope import DERIVE
from nasforge.runs.stored import ClassesFile

__all__ = ["CLASSES", "check_classes", "refuse_changed_classes"]

CLASSES = "classes.json"
"""File with the names of the classes, in the folder of a run."""

SHOWN = 5
"""Names that a message lists."""


def check_classes(folder: RunFolder, options: Mapping[str, Any], names: Sequence[str]) -> None:
    """Compare the classes of a run's images with those it began with, which are noted at the first time.

    Args:
        folder: The run folder.
        options: The ``[data]`` table. Other options may have other classes.
        names: The names now, in the order of the logits.

    Raises:
        RunError: They have changed.
    """
    mark = fingerprint(options)
    path = folder.path / CLASSES
    if path.exists():
        known = read_json(path, ClassesFile, "Delete it.")
        if known["fingerprint"] == mark:
            refuse_changed_classes("data", known["class_names"], names)
            return
    elif (folder.stage(DERIVE.stage) / "result.json").exists():
        return  # made by a version that noted no classes: those of now may be others
    folder.store_file("", CLASSES, {"class_names": list(names), "fingerprint": mark})


def refuse_changed_classes(where: str, known: Sequence[str], now: Sequence[str]) -> None:
    """Raise if classes differ: labels would not belong to the logits of the trained network.

    Args:
        where: Start of the message.
        known: Names at the training.
        now: Names of the images now.

    Raises:
        RunError: They differ.
    """
    if list(known) == list(now):
        return
    missing, new = _listed(set(known) - set(now)), _listed(set(now) - set(known))
    changes = [f"{missing} is missing"] * bool(missing) + [f"{new} is new"] * bool(new)
    raise RunError(
        f"{where}: the classes of the images have changed since this run began: "
        f"{', '.join(changes) or 'they have another order'}. Restore them, or make another run: "
        "nasforge run RECIPE --set run.name=NEW"
    )


def _listed(names: set[str]) -> str:
    shown = [repr(name) for name in sorted(names)[:SHOWN]]
    return ", ".join(shown + ["…"] * (len(names) > SHOWN))
