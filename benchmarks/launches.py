"""Count what a step asks of a device, on the meta device, which computes nothing but takes the device's path.

    python -m benchmarks.launches                          every row
    python -m benchmarks.launches --rows darts --by 20     one row, with its most frequent operators
    python -m benchmarks.launches --against before.json    beside earlier counts, written by --out

A *launch* is a dispatched operator that gives a device something to do: views and memory that is taken are
counted apart, because a GPU pays for neither. A ``_foreach_`` operator counts once. A *transfer* is a copy
between processor and device, in either direction: each makes the processor wait, or the device.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.measure import NO_WORK

META = torch.device("meta")


class Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.views: Counter[str] = Counter()
        self.transfers: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        idle = func.is_view or name in NO_WORK
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        kinds = {t.device.type for t in given}
        result = func(*args, **(kwargs or {}))
        if True:
            made0 = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
            if any(t.is_meta for t in given + made0):
                (self.views if idle else self.launches)[name] += 1
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if len(kinds | {t.device.type for t in made if given}) > 1:
            self.transfers.append(f"{name} {where()}")
        return result


def where() -> str:
    import traceback

    frames = [
        f
        for f in traceback.extract_stack()
        if ("nasforge" in f.filename) and "benchmarks/launches" not in f.filename
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
