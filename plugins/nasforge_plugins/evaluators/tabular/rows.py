"""Rows of a CSV file (plain or gzipped) or a Parquet file, as text. Errors are worded."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from nasforge_plugins.evaluators.tabular.errors import TableError

__all__ = ["Row", "check_header", "open_rows"]

MAX_COLUMNS = 1000

Row = tuple[str, Sequence[str]]
"""Where a row stands, such as ``"line 7"``, and its cells."""


@contextmanager
def open_rows(path: Path) -> Iterator[tuple[list[str], Iterator[Row]]]:
    """Open a table file.

    Args:
        path: A Parquet file, or CSV in UTF-8, plain or gzipped.

    Returns:
        The names of the columns, and the rows. Cells without a value are empty.

    Raises:
        TableError: The file is missing, damaged or something else, or Parquet cannot be read here.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(4)
        if start == b"PAR1":
            yield _open_parquet(path)
            return
        with _open_text(path, zipped=start.startswith(b"\x1f\x8b")) as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            yield header, ((f"line {reader.line_num}", cells) for cells in reader)
    except FileNotFoundError:
        raise TableError(f"{path}: no such file.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableError(
            f"{path}: the file is cut short or damaged ({error}). Nothing was imported; fetch it again."
        ) from None
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: is not text: byte {error.start} is not UTF-8. Write CSV.") from None
    except csv.Error as error:
        raise TableError(f"{path}: is not CSV: {error}.") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error}).") from None


def check_header(path: Path, header: Sequence[str]) -> None:
    """Check that a header names each column once.

    Raises:
        TableError: A name is there twice, or there are too many columns.
    """
    if len(header) > MAX_COLUMNS:
        raise TableError(
            f"{path}, line 1: has {len(header):,} columns; at most {MAX_COLUMNS:,} are read. Import the "
            "columns that you need."
        )
    for name, count in Counter(header).items():
        if count > 1:
            raise TableError(f"{path}, line 1: column {name!r} is there twice.")


def _open_text(path: Path, *, zipped: bool) -> IO[str]:
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _open_parquet(path: Path) -> tuple[list[str], Iterator[Row]]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise TableError(
            f"{path}: Parquet is read by the package pyarrow, which is not installed. "
            "Run: pip install 'nasforge[parquet]'"
        ) from None
    try:
        file = parquet.ParquetFile(path)
    except Exception as error:  # pyarrow raises many types for damaged files
        raise _damaged(path, error) from None
    return list(file.schema_arrow.names), _parquet_rows(path, file)


def _parquet_rows(path: Path, file: Any) -> Iterator[Row]:
    number = 0
    try:
        for batch in file.iter_batches():
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield f"row {number}", ["" if cell is None else str(cell) for cell in cells]
    except (OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> TableError:
    reason = " ".join(str(error).split())[:200]
    return TableError(f"{path}: the Parquet file cannot be read ({reason}). Nothing was imported.")
