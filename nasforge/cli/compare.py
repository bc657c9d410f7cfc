"""``nasforge compare``: finished runs and benches side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nasforge.cli.options import Json, repeated

__all__ = ["compare"]


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER…", help="Folders of finished runs, or of benches.", show_default=False
        ),
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            "-m",
            metavar="NAME",
            help="Metric to compare. Default: accuracy on test images, else score, else what a table knows.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            "-b",
            metavar="SEARCHER",
            help="Searcher to compare with. Default: the baseline of a bench, else the installed one, "
            "else the first.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        repeated(
            "--allow", metavar="TABLE", about="Group runs although this table of their recipes differs."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs by searcher and setup, paired by seed, and list what differs between their setups."""
    from nasforge.benches.compare import compare_folders
    from nasforge.benches.standings import cells, head
    from nasforge.cli.output import print_json, print_table

    found = compare_folders(folders, metric, baseline, allow or ())
    if as_json:
        lines = [standing.to_json() for standing in found.standings]
        about = {"metric": found.metric, "baseline": found.baseline, "notes": list(found.notes)}
        print_json({**about, "searchers": lines})
        return
    print(f"{found.metric}\n")
    print_table([cells(standing) for standing in found.standings], head=head(found.baseline))
    for note in found.notes:
        print(f"\nnote: {note}")
