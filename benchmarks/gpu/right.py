"""Steps on a device against the same steps on the CPU in float64; resuming; waiting for the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.exact import EqualNoise, in_float64
from benchmarks.gpu.record import Record
from benchmarks.gpu.subjects import DRAWING, KINDS, Subject, build_subject
from nasforge.runtime import Runtime
from nasforge.runtime.settings import DeviceSettings

__all__ = ["LIMITS", "Steps", "check_right", "compare"]

BATCH, STEPS = 8, 5
CPU = torch.device("cpu")
LIMITS = {"float64": ("losses", 1e-6), "float32": ("first losses", 1e-4)}
"""Largest relative difference of losses from the same on the CPU in float64: of all steps, or of the first.
Rounding to float32 grows from step to step: an update of a weight may be thousands of times the weight."""


@dataclass(frozen=True)
class Steps:
    """Losses of some steps, and the weights after them.

    Attributes:
        losses: Of each step ``(steps, losses)``, in float64 on the CPU.
        weights: Afterwards, by name, in float64 on the CPU.
    """

    losses: Tensor
    weights: Mapping[str, Tensor]


def check_right(record: Record, device: torch.device, tiny: bool) -> None:
    """Measure a row per searcher and space, then of resuming, and of waiting for the device.

    Args:
        record: Keeps the rows.
        device: The GPU.
        tiny: Check one row of each only.
    """
    DeviceSettings(tf32=False).apply(device)
    kinds = (("darts", "nasbench201"),) if tiny else KINDS
    for searcher, space in kinds:
        record.measure(f"{searcher}, {space}", partial(_check_steps, searcher, space, device))
    for searcher, space in kinds:
        if device.type == "cuda" and searcher not in DRAWING:
            record.measure(f"waits: {searcher}, {space}", partial(_check_waits, searcher, space, device))
    if device.type != "cuda":
        record.measure("waits", lambda: {"skipped": "only CUDA can make waiting for the device an error"})
    for searcher, space in kinds:
        record.measure(f"resume: {searcher}, {space}", partial(_check_resume, searcher, space, device))


def compare(found: Steps, exact: Steps) -> dict[str, float]:
    """Return the largest relative differences.

    Args:
        found: Steps on the device.
        exact: The same on the CPU in float64.
    """
    scale = exact.losses.abs().clamp(min=1e-3)
    losses = (found.losses - exact.losses).abs() / scale
    far = [
        (found.weights[name] - weight).abs().max() / weight.abs().max().clamp(min=1e-6)
        for name, weight in exact.weights.items()
        if weight.numel()
    ]
    first, every = float(losses[0].max()), float(losses.max())
    return {"first losses": first, "losses": every, "weights": float(torch.stack(far).max())}


def _check_steps(searcher: str, space: str, device: torch.device) -> dict[str, Any]:
    exact = _make_steps(build_subject(searcher, space, Runtime(CPU, channels_last=False), True, BATCH), True)
    row: dict[str, Any] = {}
    for precision, (which, limit) in LIMITS.items():
        if device.type == "mps" and precision == "float64":
            continue  # it has none
        subject = build_subject(searcher, space, Runtime(device), False, BATCH)
        row[precision] = compare(_make_steps(subject, precision == "float64"), exact)
        if not row[precision][which] <= limit:
            found = f"{precision}: {which} differ by {row[precision][which]:.2g}, and may by {limit:.0e}"
            raise ArithmeticError(f"{found}; all: {row}")
    return row


def _make_steps(subject: Subject, doubles: bool) -> Steps:
    losses = []
    if doubles:
        subject.to_float64()
        with in_float64():
            losses = _run(subject)
    else:
        losses = _run(subject)
    weights = {name: w.detach().to("cpu", torch.float64) for name, w in subject.weights()}
    return Steps(torch.tensor(losses, dtype=torch.float64), weights)


def _run(subject: Subject) -> list[list[float]]:
    torch.manual_seed(1)
    with EqualNoise():  # type: ignore[no-untyped-call]
        return [[float(loss) for loss in subject.step()] for _ in range(STEPS)]


def _check_waits(searcher: str, space: str, device: torch.device) -> dict[str, Any]:
    subject = build_subject(searcher, space, Runtime(device), False, BATCH)
    for _ in range(2):  # constants are brought to the device once
        subject.step()
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        subject.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {"waits": 0}


def _check_resume(searcher: str, space: str, device: torch.device) -> dict[str, Any]:
    """Make two steps, save, make three; load what was saved elsewhere, make the same three."""
    DeviceSettings(tf32=False, deterministic=True).apply(device)
    try:
        first = build_subject(searcher, space, Runtime(device), False, BATCH)
        for _ in range(2):
            first.step()
        state = first.save()
        found = []
        second = build_subject(searcher, space, Runtime(device), False, BATCH)
        second.load(state)
        for subject in (first, second):
            torch.manual_seed(1)
            for _ in range(STEPS - 2):
                subject.step()
            found.append({name: w.detach().clone() for name, w in subject.weights()})
    finally:
        DeviceSettings(tf32=False).apply(device)
    different = [name for name, weight in found[0].items() if not torch.equal(weight, found[1][name])]
    if different:
        raise ArithmeticError(f"{len(different)} of {len(found[0])} tensors differ, such as {different[0]}")
    return {"equal": len(found[0])}
