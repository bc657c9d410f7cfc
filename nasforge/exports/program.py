"""Programs of torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch.export import Dim, ExportedProgram

from nasforge.exports.format import Call, Format
from nasforge.exports.source import ExportSource

__all__ = ["Program", "record"]


def record(source: ExportSource, batch: int | None = None) -> ExportedProgram:
    """Record the forward pass of a network as operators of torch.

    Args:
        source: The network.
        batch: The only batch size that the program takes; None: any.
    """
    shapes = None if batch else ({0: Dim("batch", min=1)},)
    with torch.no_grad():
        return torch.export.export(source.classifier, (source.example(batch or 2),), dynamic_shapes=shapes)


class Program(Format):
    """``network.pt2``: load it with ``torch.export.load(path).module()``, in Python or C++."""

    name = "pt2"
    file = "network.pt2"

    def write(self, source: ExportSource, path: Path) -> dict[str, Any]:
        """Record and save the program, with labels and preprocessing as extra files."""
        torch.export.save(record(source), path, extra_files=source.describe())
        return {}

    def open(self, path: Path) -> Call:
        """Load the program."""
        return cast("Call", torch.export.load(path).module())
