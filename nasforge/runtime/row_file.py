"""Files of rows that are only appended to: the growing lists of a state.

A line is ``["CRC-32 of the row", row]``, so that a damaged line is found by its number. The checkpoint holds
the number of rows, their bytes and a SHA-256 of them. Anything that a crash left behind them is cut off.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

from nasforge.errors import CheckpointError, unreadable
from nasforge.files import open_own
from nasforge.rows import AppendOnly, Mark, parse_row

__all__ = ["append_rows", "read_rows"]

LINE = re.compile(rb'\["([0-9a-f]{8})",(.*)\]\n', re.DOTALL)


def append_rows(path: Path, log: AppendOnly) -> dict[str, Any]:
    """Write the items that the file does not hold yet, and flush them to the disk.

    Args:
        path: The file; made if it is missing.
        log: The list.

    Returns:
        JSON data that `read_rows` needs to read the list as it is now.
    """
    with open_own(path, "r+b" if path.exists() else "w+b") as file:
        size = os.fstat(file.fileno()).st_size
        mark = log.marks.get(path)
        if mark is None or mark.rows > len(log) or mark.size != size:
            mark = _matching(file, log)
        digest = mark.digest.copy()
        lines = [_line(row) for row in log[mark.rows :]]
        for line in lines:
            digest.update(line)
        if lines or mark.size != size:
            file.seek(mark.size)
            file.truncate()
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
    log.marks[path] = mark = Mark(len(log), mark.size + sum(map(len, lines)), digest)
    return {"file": path.name, "rows": mark.rows, "bytes": mark.size, "sha256": digest.hexdigest()}


def read_rows(folder: Path, about: Any) -> AppendOnly:
    """Read a list. Rows are decoded when they are accessed.

    Args:
        folder: The folder of the file.
        about: The result of `append_rows`.

    Raises:
        CheckpointError: The file is missing, shorter than it was, or damaged; names the line.
    """
    path = folder / Path(about["file"]).name
    try:
        with open_own(path, "rb") as file:
            content = file.read(about["bytes"])
    except OSError as error:
        raise unreadable(path, error) from None
    lines = content.splitlines(keepends=True)
    if hashlib.sha256(content).hexdigest() != about["sha256"] or len(lines) != about["rows"]:
        raise CheckpointError(f"{path}: {_damage(lines, about['rows'])}.")
    return AppendOnly(lines, _row)


def _line(row: Any) -> bytes:
    text = json.dumps(row, separators=(",", ":")).encode()
    return b'["%08x",%b]\n' % (zlib.crc32(text), text)


def _row(line: bytes) -> Any:
    return parse_row(line)[1]


def _damage(lines: list[bytes], rows: int) -> str:
    for number, line in enumerate(lines, start=1):
        found = LINE.fullmatch(line)
        if found is None or int(found[1], 16) != zlib.crc32(found[2]):
            return f"line {number} is damaged"
    if len(lines) < rows:
        return f"has {len(lines):,} lines, and the checkpoint counts {rows:,}"
    return "its lines are not those that the checkpoint counts"


def _matching(file: Any, log: AppendOnly) -> Mark:
    """Return how much of a file is the beginning of a list; the rest is of a step that did not count."""
    mark = Mark(0, 0, hashlib.sha256())
    file.seek(0)
    for row in log:
        line = _line(row)
        if file.read(len(line)) != line:
            break
        mark.digest.update(line)
        mark.rows, mark.size = mark.rows + 1, mark.size + len(line)
    return mark
