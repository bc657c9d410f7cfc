"""How the command line speaks: errors and warnings in one paragraph, tables, JSON."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["one_line_warnings", "print_json", "print_table", "say_error"]


def say_error(message: str) -> None:
    """Write an error to standard error."""
    print(f"error: {message}", file=sys.stderr, flush=True)


def print_json(data: Any) -> None:
    """Write data to standard output, for programs to read."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(rows: Iterable[Sequence[str]], *, head: Sequence[str] = (), indent: str = "") -> None:
    """Write aligned columns; the last one is wrapped to the width of a terminal.

    Args:
        rows: Texts of equal number.
        head: Names of the columns; none are written if empty.
        indent: Stands before every line.
    """
    import shutil
    import textwrap

    cells = [list(row) for row in ([head] if head else [])] + [list(row) for row in rows]
    if not cells:
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    offset = len(indent) + sum(width + 2 for width in widths[:-1])
    # Piped output stays one line per row, for grep.
    room = max(20, shutil.get_terminal_size().columns - offset) if sys.stdout.isatty() else 100_000
    for row in cells:
        start = "".join(f"{cell:{width}}  " for cell, width in zip(row[:-1], widths[:-1], strict=True))
        lines = textwrap.wrap(row[-1], room) or [""]
        print(f"{indent}{start}{lines[0]}".rstrip())
        for line in lines[1:]:
            print(" " * offset + line)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show warnings as one line each, without the place in the code they come from."""

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
