"""Count what steps ask of a GPU, without one: on the meta device, which computes nothing.

    python -m benchmarks.launches                                every row; minutes
    python -m benchmarks.launches --rows darts --by 20           one row, and its most frequent operators
    python -m benchmarks.launches --rows darts --precision bf16  under autocast, casts included
    python -m benchmarks.launches --out counts.json              keep the counts
    python -m benchmarks.launches --against counts.json          print them beside earlier ones

A *launch* is an operator that torch dispatches with a tensor on the device. Views are left out, and memory
that is taken: neither gives a GPU anything to do. A ``_foreach_`` operator counts once, and so does one in
which a GPU runs several kernels. A *transfer* is a copy between processor and device. Counted is the second
step: the first one makes the state of optimisers, and brings constants to the device.
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.measure import gives_work
from benchmarks.rows import ROWS, SIDES, Row, Size
from benchmarks.steps import Setting, Work
from nasforge.runtime import Precision, Runtime
from nasforge.runtime.meta import META
from nasforge.runtime.meta import as_gpu as as_on_gpu

__all__ = ["META", "Launches", "as_on_gpu", "make_on_meta"]

READING = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__")
"""Methods of a tensor that bring its values to the processor."""


class Launches(TorchDispatchMode):
    """Counts operators by name, and notes where something is copied or devices are mixed.

    Attributes:
        launches: Operators that give the device something to do.
        idle: Views and memory that is taken.
        transfers: What copied, and the line of nasforge that asked for it.
        mixed: Operators with tensors on both devices, and their lines.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launches: Counter[str] = Counter()
        self.idle: Counter[str] = Counter()
        self.transfers: list[str] = []
        self.mixed: list[str] = []
        self._patches = ExitStack()

    @property
    def total(self) -> int:
        """The number of launches."""
        return self.launches.total()

    def __enter__(self) -> Launches:
        """Begin to count."""
        tensor = torch.tensor

        def make(*args: Any, **kwargs: Any) -> Tensor:
            # Dispatch shows neither the copy in here nor those of values that are read.
            if torch.device(kwargs.get("device") or "cpu") == META:
                self._note(self.transfers, "torch.tensor")
            return tensor(*args, **kwargs)

        get = Tensor.__getitem__

        def index(indexed: Tensor, key: Any) -> Tensor:
            keys = key if isinstance(key, tuple) else (key,)
            if indexed.device == META and any(isinstance(k, list) for k in keys):
                self._note(self.transfers, "index by a list")
            return get(indexed, key)

        self._patches.enter_context(patch.object(torch, "tensor", make))
        self._patches.enter_context(patch.object(Tensor, "__getitem__", index))
        for name in READING:
            reading = self._reader(name, getattr(Tensor, name))
            self._patches.enter_context(patch.object(Tensor, name, reading))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """End it."""
        super().__exit__(*error)
        self._patches.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute an operator, and count it."""
        result, name = func(*args, **(kwargs or {})), func._schema.name
        given, made = (_devices(values) for values in ((args, kwargs), result))
        if META in given | made:
            (self.launches if gives_work(func) else self.idle)[name] += 1
            if given and len(given | made) > 1:
                copies = name in {"aten::_to_copy", "aten::copy_"}
                self._note(self.transfers if copies else self.mixed, name)
        return result

    def _reader(self, name: str, method: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        def read(tensor: Tensor) -> Any:
            if tensor.device != META:
                return method(tensor)
            self._note(self.transfers, f"Tensor.{name}")
            return method(torch.zeros(tensor.shape, dtype=tensor.dtype))

        return read

    def _note(self, where: list[str], what: str) -> None:
        frames = [f for f in traceback.extract_stack() if "nasforge" in Path(f.filename).parts[-4:-1]]
        frames = frames or [f for f in traceback.extract_stack() if "nasforge_plugins" in f.filename]
        place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        where.append(what + place)


def make_on_meta(row: Row, side: str, size: Size, precision: Precision = "fp32") -> Work:
    """Build the work of a side of a row; call it, and its steps, within `as_on_gpu`.

    Args:
        row: The row.
        side: ``"reference"`` or ``"nasforge"``.
        size: How large the networks are. Counts do not depend on batch and channels.
        precision: Of the networks.
    """
    reference = side == "reference"
    runtime = Runtime(META, precision, channels_last=not reference)
    return row.build(Setting(runtime, reference, size.batch, size.image_size), size)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, print, store.

    Args:
        arguments: Instead of those of this process.
    """
    options = _parser().parse_args(arguments)
    earlier = json.loads(options.against.read_text(encoding="utf8")) if options.against else {}
    counts: dict[str, dict[str, Any]] = {}
    print(f"{'row':26}{'plain':>9}{'before':>9}{'now':>9}{'views':>9}{'transfers':>11}", flush=True)
    for row in ROWS:
        if row.name not in options.rows:
            continue
        counts[row.name] = {}
        for side in SIDES if options.plain else SIDES[1:]:
            counted = _count(row, side, options.precision)
            counts[row.name][side] = {
                "launches": counted.total,
                "views": counted.idle.total(),
                "transfers": [*counted.transfers, *counted.mixed],
            }
        _print(row.name, counts[row.name], earlier.get(row.name, {}))
        for name, number in counted.launches.most_common(options.by):
            print(f"    {number:6}  {name}")
        if options.out:
            options.out.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf8")


def _count(row: Row, side: str, precision: Precision) -> Launches:
    with as_on_gpu():
        work = make_on_meta(row, side, replace(row.size, batch=2), precision)
        work.step()  # what is brought to the device once is not part of a step
        with Launches() as counted:
            work.step()
    return counted


def _print(name: str, counts: Mapping[str, Any], earlier: Mapping[str, Any]) -> None:
    def number(side: Mapping[str, Any] | None) -> str:
        return "" if side is None else f"{side['launches']:,}"

    plain = number(counts.get("reference") or earlier.get("reference"))
    now, before = counts["nasforge"], number(earlier.get("nasforge"))
    numbers = f"{now['views']:>9,}{len(now['transfers']):>11}"
    print(f"{name:26}{plain:>9}{before:>9}{number(now):>9}{numbers}", flush=True)
    for transfer in sorted(set(now["transfers"])):
        print(f"    {transfer}")


def _devices(values: Any) -> set[torch.device]:
    return {value.device for value in tree_leaves(values) if isinstance(value, Tensor)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.launches",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [row.name for row in ROWS if row.name != "train"]  # the trainer's generator needs a device
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=str(names))
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--plain", action="store_true", help="count the plain reference, too")
    parser.add_argument("--by", type=int, default=0, metavar="N", help="print the N most frequent operators")
    parser.add_argument("--out", type=Path, help="write the counts to this .json file")
    parser.add_argument("--against", type=Path, help="counts of another version")
    return parser


if __name__ == "__main__":
    main()
