"""Output of the command line: errors and warnings in one paragraph, tables, JSON."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["one_line_warnings", "print_error", "print_json", "print_table"]

WIDE = 1_000_000
"""Width of a table that is not shown in a terminal: no row is wrapped."""


def print_error(message: str) -> None:
    """Write an error to standard error."""
    print(f"error: {message}", file=sys.stderr, flush=True)


def print_json(data: Any) -> None:
    """Write data to standard output, for programs to read."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(rows: Iterable[Sequence[str]], *, head: Sequence[str] = (), indent: str = "") -> None:
    """Write aligned columns: wrapped to the width of a terminal, one plain line per row elsewhere.

    Args:
        rows: Texts of equal number.
        head: Names of the columns; none are written if empty.
        indent: Text before every line.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [[Text(" ".join(cell.splitlines())) for cell in row] for row in rows]
    if not lines and not head:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=bool(head))
    for name in head or lines[0]:
        table.add_column(Text(str(name)), overflow="fold")
    for line in lines:
        table.add_row(*line)
    # Piped output is for grep, also if FORCE_COLOR or COLUMNS is set.
    terminal = sys.stdout.isatty()
    console = Console(
        width=None if terminal else WIDE,
        force_terminal=terminal,
        force_jupyter=False,
        no_color=None if terminal else True,
    )
    with console.capture() as capture:
        console.print(table, width=max(20, console.width - len(indent)))
    for text in capture.get().splitlines():
        print(f"{indent}{text}".rstrip())


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show each warning as one line, without its place in the code."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print(f"warning: {' '.join(str(message).split())}", file=file or sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
