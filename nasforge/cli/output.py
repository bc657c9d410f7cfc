"""Output of the command line: errors and warnings in one paragraph, tables, JSON."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

__all__ = [
    "debugging",
    "one_line_warnings",
    "print_error",
    "print_json",
    "print_table",
    "readable",
    "show_count",
]


debugging: ContextVar[bool] = ContextVar("debugging", default=False)
"""Whether the command was called with ``--debug``; commands that catch errors show their tracebacks then."""

LONGEST = 2000
"""Characters of a message."""

WORD = 200
"""Characters of a word without spaces; paths may be long, what users paste is cut."""


def print_error(message: str) -> None:
    """Write an error to standard error."""
    print(f"error: {readable(message)}", file=sys.stderr, flush=True)


def readable(message: str) -> str:
    """Return a message without control characters, which change terminals, and not too long.

    Args:
        message: May quote anything that a user wrote.
    """
    shown = "".join(c if c == "\n" or c.isprintable() else ascii(c)[1:-1] for c in message[: 20 * LONGEST])
    shown = re.sub(rf"\S{{{WORD + 1},}}", lambda found: f"{found[0][:60]}…{found[0][-15:]}", shown)
    if len(shown) <= LONGEST and len(message) <= 20 * LONGEST:
        return shown
    kept = shown[: LONGEST - 40]
    more = message.count("\n") - kept.count("\n")
    return f"{kept.rstrip()} …{f' (and {more:,} more lines)' if more else ''}"


def print_json(data: Any) -> None:
    """Write data to standard output, for programs to read."""
    escaped = (sys.stdout.encoding or "utf8").lower().replace("-", "") != "utf8"
    print(json.dumps(data, indent=2, ensure_ascii=escaped))


def show_count(what: str, count: int, total: int) -> None:
    """Write how much is done over the last such line, on a terminal alone; results go to standard output.

    Args:
        what: The work, in words.
        count: Number of things that are done.
        total: Their number in all; the line is removed with the last.
    """
    if not sys.stderr.isatty() or (count % max(1, total // 200) and count < total):
        return
    text = f"{what}: {count:,} of {total:,}" if count < total else ""
    print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def print_table(rows: Iterable[Sequence[str]], *, head: Sequence[str] = (), indent: str = "") -> None:
    """Write aligned columns: wrapped to the width of a terminal, one plain line per row elsewhere.

    Args:
        rows: Texts of equal number.
        head: Names of the columns; none are written if empty.
        indent: Text before every line.
    """
    lines = [[" ".join(str(cell).splitlines()) for cell in row] for row in rows]
    if not lines and not head:
        return
    show = _show_in_terminal if sys.stdout.isatty() else _print_plain
    show(lines, [str(name) for name in head], indent)


def _print_plain(lines: list[list[str]], head: Sequence[str], indent: str) -> None:
    """Write one line per row, for grep, without the fifth of a listing's time that rich.console takes."""
    from rich.cells import cell_len

    lines = [list(head), *lines] if head else lines
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        print(f"{indent}{'  '.join(padded)}".rstrip())


def _show_in_terminal(lines: list[list[str]], head: Sequence[str], indent: str) -> None:
    """Write a table whose cells wrap at the width of the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=bool(head))
    for name in head or lines[0]:
        table.add_column(Text(name), overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    console = Console(force_terminal=True, force_jupyter=False)
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
        # A list stays a list; other texts become one paragraph.
        text = str(message) if "\n  - " in str(message) else " ".join(str(message).split())
        print(f"warning: {readable(text)}", file=file or sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
