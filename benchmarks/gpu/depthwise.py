"""Depthwise convolutions of search networks in both layouts, timed one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch

from benchmarks.gpu.record import Record
from nasforge.nn.depthwise import DepthwiseLayout
from nasforge.runtime.layout import CASES, ROUNDS, Case, time_layout

__all__ = ["time_depthwise"]

BATCHES = (64, 256)
SHAPES = ((3, 1), (5, 1), (3, 2), (5, 2))
"""Kernels and dilations of the separable and dilated convolutions of the ``darts`` space."""
TINY = (Case(2, 4, 8, 3, 1),)


def time_depthwise(record: Record, device: torch.device, tiny: bool) -> None:
    """Measure a row per type of numbers and convolution: seconds of a forward and backward pass by layout.

    Args:
        record: Keeps the rows.
        device: Where the convolutions compute.
        tiny: Measure one small convolution in one round.
    """
    for dtype in (torch.float32, torch.bfloat16):
        for case in TINY if tiny else _cases():
            of = f"batch {case.batch}, {case.channels} at {case.side} px, {case.kernel}x{case.kernel}"
            name = f"{str(dtype).removeprefix('torch.')}, {of}, dilation {case.dilation}"
            record.measure(name, lambda case=case, dtype=dtype: _time(case, device, dtype, tiny))  # type: ignore[misc]


def _cases() -> Sequence[Case]:
    """Return the convolutions, those by which `choose_layout` decides first."""
    sizes = sorted({(case.channels, case.side) for case in CASES})
    more = [Case(b, channels, side, *shape) for b in BATCHES for channels, side in sizes for shape in SHAPES]
    return [*CASES, *(case for case in more if case not in CASES)]


def _time(case: Case, device: torch.device, dtype: torch.dtype, tiny: bool) -> dict[str, float | str]:
    rounds = 1 if tiny else ROUNDS
    seconds = {
        str(layout): time_layout(layout, device, dtype, [case], rounds)
        for layout in get_args(DepthwiseLayout)
    }
    return {**seconds, "faster": min(seconds, key=seconds.__getitem__)}
