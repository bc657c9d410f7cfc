"""Exported files against the network that they were made from: numbers, accuracy and time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nasforge.cost.latency import Timing, measure_in_turns
from nasforge.exports.format import Call
from nasforge.runtime import Runtime

__all__ = ["TOLERANCE", "Agreement", "agreement", "logits_of", "time_call"]

TOLERANCE = 1e-4
"""Largest difference of logits, as a share of the largest logit or of 1: float32 sums in another order."""

LATENCY_RUNS, THROUGHPUT_RUNS, WARMUP = 30, 8, 3


@dataclass(frozen=True)
class Agreement:
    """Differences between a file and its source on the same images.

    Attributes:
        images: Number of images.
        max_difference: Largest absolute difference of a logit.
        limit: Largest difference that rounding explains.
        same_top1: Share of images with the same best class, from 0 to 1.
        accuracy: Of the file, in percent.
        source_accuracy: Of the source, in percent.
    """

    images: int
    max_difference: float
    limit: float
    same_top1: float
    accuracy: float
    source_accuracy: float

    @property
    def holds(self) -> bool:
        """Whether the file computes what its source computes, up to rounding."""
        return self.max_difference <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "images": self.images,
            "max_difference": self.max_difference,
            "same_top1": self.same_top1,
            "accuracy": self.accuracy,
            "source_accuracy": self.source_accuracy,
        }


@torch.no_grad()
def logits_of(call: Call, images: Tensor, batch_size: int) -> Tensor:
    """Return the logits ``(N, classes)`` of images, computed in batches.

    Args:
        call: Computes them.
        images: ``(N, C, S, S)``.
        batch_size: Images per call; the last one may have fewer.
    """
    return torch.cat([call(batch.contiguous()).float() for batch in images.split(batch_size)])


def agreement(found: Tensor, expected: Tensor, labels: Tensor) -> Agreement:
    """Compare logits.

    Args:
        found: Of the file, ``(N, classes)``.
        expected: Of its source.
        labels: int64 ``(N,)``.
    """
    top, wanted = found.argmax(1), expected.argmax(1)
    difference = (found - expected).abs().max().item()
    return Agreement(
        images=len(labels),
        # A comparison with NaN is never true, so it would pass for no difference.
        max_difference=difference if found.isfinite().all() else float("inf"),
        limit=TOLERANCE * max(1.0, expected.abs().max().item()),
        same_top1=_share(top == wanted),
        accuracy=_percentage(top == labels),
        source_accuracy=_percentage(wanted == labels),
    )


def _share(hits: Tensor) -> float:
    return int(hits.sum()) / len(hits)


def _percentage(hits: Tensor) -> float:
    """Divide last, as the test stage does, so that equal counts are equal numbers."""
    return 100.0 * int(hits.sum()) / len(hits)


def time_call(call: Call, images: Tensor, batch_size: int) -> dict[str, Any]:
    """Measure latency of one image and throughput of a batch, on the CPU.

    Args:
        call: Computes logits.
        images: One or more, ``(N, C, S, S)``; repeated to fill the batch.
        batch_size: Images per call for the throughput.
    """
    runtime = Runtime.create("cpu", channels_last=False)
    one = images[:1].contiguous()
    many = images[torch.arange(batch_size) % len(images)].contiguous()

    def measure(given: Tensor, runs: int) -> Timing:
        return measure_in_turns([partial(call, given)], runtime, runs=runs, warmup=WARMUP)[0]

    latency, batch = measure(one, LATENCY_RUNS), measure(many, THROUGHPUT_RUNS)
    return {
        "latency_ms": latency.median_ms,
        "latency": latency.to_json(),
        "throughput": 1000.0 * batch_size / batch.median_ms,
        "batch_size": batch_size,
        "threads": torch.get_num_threads(),
    }
