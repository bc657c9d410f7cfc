"""``nasforge report``: runs and benches as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER…",
            help="Folders of runs and benches, finished or not; several runs stand side by side.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The file. Default: report.html in the folder; here, for several folders.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the report of runs or benches as one self-contained HTML file."""
    from nasforge.api import write_report

    path = write_report(folders, out)
    print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")
