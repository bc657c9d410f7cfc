"""Write a network in several formats; each is compared with the network, and none spoils another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nasforge.errors import RunError
from nasforge.exports.catalogue import FORMATS
from nasforge.exports.comparison import agreement, logits_of, time_call
from nasforge.exports.format import Format
from nasforge.exports.source import ExportSource
from nasforge.recipe.export_table import FormatName

__all__ = ["REJECTED", "Written", "write_formats"]

REJECTED = "rejected"
"""Folder of files that disagree with their network."""


@dataclass
class Written:
    """Results of the formats that were written.

    Attributes:
        formats: By name: sizes, differences, accuracy and times; or ``failed``, the reason in words, and
            ``rejected`` if the file disagrees with the network.
        source: Times and accuracy of the network itself, in torch.
    """

    formats: dict[str, dict[str, Any]] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)


def write_formats(
    source: ExportSource,
    folder: Path,
    names: Sequence[FormatName],
    report: Callable[[str], None] = lambda name: None,
) -> Written:
    """Write a network in several formats, and compare each file with the network on the sample images.

    Args:
        source: The network.
        folder: Holds the files.
        names: The formats.
        report: Called with the name of each format before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = Written()
    expected = logits_of(source.classifier, source.samples.images, source.batch_size)
    itself = agreement(expected, expected, source.samples.labels)
    written.source = {
        "images": itself.images,
        "accuracy": itself.accuracy,
        **time_call(source.classifier, source.samples.images, source.batch_size),
    }
    for name in names:
        report(name)
        try:
            written.formats[name] = _write(FORMATS[name], source, folder, expected)
        except Exception as error:
            written.formats[name] = {"failed": _worded(error)}
    return written


def _write(kind: Format, source: ExportSource, folder: Path, expected: torch.Tensor) -> dict[str, Any]:
    kind.check_installed()
    path = folder / kind.file
    _remove(path)
    try:
        notes = kind.write(source, path)
        call = kind.open(path)
        images = source.pixels if kind.reads_pixels else source.samples.images
        found = agreement(logits_of(call, images, source.batch_size), expected, source.samples.labels)
    except Exception:
        _remove(path)  # half written, or never compared with the network
        raise
    entry = {"file": kind.file, "bytes": kind.size(path), **notes, **found.to_json()}
    if kind.exact and not found.holds:
        aside = folder / REJECTED / kind.file
        aside.parent.mkdir(exist_ok=True)
        _remove(aside)
        path.replace(aside)
        reason = (
            f"differs from the network by {found.max_difference:.3g} in a logit, and rounding "
            f"explains {found.limit:.3g}; {found.same_top1:.1%} of {found.images} images have the same best "
            f"class. The file is kept as {aside}. Do not use it, and please report it."
        )
        return {**entry, "file": f"{REJECTED}/{kind.file}", "failed": reason, "rejected": True}
    return {**entry, **time_call(call, images, source.batch_size)}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _worded(error: Exception) -> str:
    """Return the first line of a message; libraries print whole programs below it."""
    text = str(error).strip()
    if isinstance(error, RunError):
        return text
    return f"{type(error).__name__}: {text.splitlines()[0][:300] if text else 'no message'}"
