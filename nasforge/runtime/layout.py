"""Layout of depthwise convolutions on an accelerator, measured once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from nasforge.errors import CheckpointError
from nasforge.files import cache_folder, read_json, write_json
from nasforge.nn.depthwise import DepthwiseLayout, convolve_in_layout
from nasforge.runtime.transfer import synchronize

__all__ = ["CASES", "Case", "choose_layout", "time_layout"]

FORMAT = 1
"""Part of every key: raise it when the measurement changes."""

ROUNDS = 10
"""Timed rounds of one case; as many again warm up."""

Timer = Callable[[DepthwiseLayout, torch.device, torch.dtype], float]


class Case(NamedTuple):
    """A depthwise convolution as search networks have it: stacked channels, side, kernel, dilation."""

    batch: int
    channels: int
    side: int
    kernel: int
    dilation: int


CASES = (Case(64, 64, 32, 3, 1), Case(64, 128, 16, 5, 1), Case(64, 256, 8, 3, 2))


def choose_layout(device: torch.device, dtype: torch.dtype, timer: Timer | None = None) -> DepthwiseLayout:
    """Return the layout in which depthwise convolutions are faster, their conversions included.

    The first call on a device measures, which takes a moment; later ones, in this and in other processes,
    read the result from the cache. A damaged entry is measured anew.

    Args:
        device: A GPU. A CPU always takes channels-last.
        dtype: Of the maps.
        timer: Returns the seconds of a layout; None: `time_layout`.
    """
    if device.type == "cpu":
        return "channels_last"
    about = _describe(device, dtype)
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_folder("depthwise") / f"{key}.json"
    if (known := _read(path)) is not None:
        return known
    timer = timer or time_layout
    seconds = {layout: timer(layout, device, dtype) for layout in get_args(DepthwiseLayout)}
    layout: DepthwiseLayout = min(seconds, key=seconds.__getitem__)
    entry = {"about": about, "layout": layout, "seconds": seconds}
    try:
        write_json(path, {**entry, "sha256": _checksum(entry)})
    except OSError as error:
        warnings.warn(
            f"The layout of depthwise convolutions cannot be kept in '{path.parent}' ({error}): every run "
            "measures it. Set NASFORGE_CACHE to a folder that can be written to.",
            stacklevel=2,
        )
    return layout


def time_layout(
    layout: DepthwiseLayout,
    device: torch.device,
    dtype: torch.dtype,
    cases: Sequence[Case] = CASES,
    rounds: int = ROUNDS,
) -> float:
    """Return the seconds of one round of all cases, forward and back.

    Args:
        layout: In which the convolutions compute; maps come and go in channels-last.
        device: Where.
        dtype: Of the maps.
        cases: The convolutions.
        rounds: Timed rounds.
    """

    def run() -> None:
        for x, weight, case in inputs:
            padding = case.dilation * (case.kernel // 2)
            y = convolve_in_layout(x, weight, 1, padding, case.dilation, layout)
            torch.autograd.grad(y, (x, weight), y.detach())

    # Zeros take as long as other numbers, and no random stream moves.
    inputs: list[tuple[Tensor, Tensor, Case]] = []
    for case in cases:
        x = torch.zeros(case.batch, case.channels, case.side, case.side, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        weight = torch.zeros(case.channels, 1, case.kernel, case.kernel, device=device, dtype=dtype)
        inputs.append((x, weight.requires_grad_(), case))
    for _ in range(rounds):
        run()
    synchronize(device)
    started = time.perf_counter()
    for _ in range(rounds):
        run()
    synchronize(device)
    return (time.perf_counter() - started) / rounds


def _describe(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    cuda = device.type == "cuda"
    return {
        "format": FORMAT,
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "dtype": str(dtype),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
    }


def _read(path: Path) -> DepthwiseLayout | None:
    """Return the layout that an entry of the cache names; None if there is none, or it is damaged."""
    if not path.exists():
        return None
    try:
        entry = read_json(path, advice="It is measured anew.")
        stored = entry.pop("sha256", None)
        if stored == _checksum(entry) and entry.get("layout") in get_args(DepthwiseLayout):
            layout: DepthwiseLayout = entry["layout"]
            return layout
        problem = f"{path}: its checksum differs from its content"
    except CheckpointError as error:
        problem = str(error)
    warnings.warn(f"The measured layout of depthwise convolutions is measured anew ({problem})", stacklevel=3)
    return None


def _checksum(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
