"""Means over the batches of one step, and word of them while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nasforge.nn import Output
from nasforge.training.loops import check_finite

__all__ = ["StepProgress", "accuracy_of"]


class StepProgress:
    """Collects losses and accuracies of a step; nothing leaves the device before a report is due.

    Args:
        report: Tells the observers; see `nasforge.component.Context.report`.
        where: The current phase, for messages: ``"search, cycle 3"``.
        batches: How many batches the step has in all.
        reports: How many reports to make.
    """

    def __init__(
        self, report: Callable[[Mapping[str, float]], None], where: str, batches: int, reports: int = 20
    ) -> None:
        self._report, self._where, self._batches = report, where, max(1, batches)
        self._every = max(1, batches // reports)
        self._done = self._in_phase = 0
        self._phase = ""
        self._pending: list[tuple[str, int, dict[str, Tensor]]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    @property
    def done(self) -> int:
        """Number of batches so far."""
        return self._done

    def add(self, phase: str, images: int, values: Mapping[str, Tensor]) -> None:
        """Count one batch.

        Args:
            phase: The trained part, for messages.
            images: Size of the batch.
            values: Scalars by metric name, means over the batch; ``"…_loss"`` must be finite.

        Raises:
            RunError: A loss is not finite; on a GPU a few batches late, but with the batch it happened in.
        """
        self._in_phase = self._in_phase + 1 if phase == self._phase else 1
        self._phase = phase
        self._done += 1
        where = f"{self._where}, {phase}, batch {self._in_phase}"
        self._pending.append((where, images, {name: v.detach().float() for name, v in values.items()}))
        due = self._done % self._every == 0
        if due or all(v.device.type == "cpu" for v in values.values()):
            self._fetch()
        if due:
            self._report({"done": min(1.0, self._done / self._batches), **self.means()})

    def means(self) -> dict[str, float]:
        """Return the mean of every metric, each image weighing the same."""
        self._fetch()
        return {name: total / images for name, (total, images) in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the sums and numbers of batches so far."""
        self._fetch()
        sums = {name: list(pair) for name, pair in self._sums.items()}
        return {"done": self._done, "phase": self._phase, "in_phase": self._in_phase, "sums": sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._done, self._phase, self._in_phase = state["done"], state["phase"], state["in_phase"]
        self._sums = {name: (total, count) for name, (total, count) in state["sums"].items()}

    def _fetch(self) -> None:
        for where, images, values in self._pending:
            for name, value in zip(values, torch.stack([*map(_on_cpu, values.values())]), strict=True):
                if name.endswith("_loss"):
                    check_finite(value, where)
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + float(value) * images, count + images)
        self._pending.clear()


@torch.no_grad()
def accuracy_of(output: Output, labels: Tensor) -> Tensor:
    """Return the share of right predictions in percent, as a scalar on the device.

    Args:
        output: Output of a network.
        labels: ``(B,)``.
    """
    return 100.0 * (output.logits.argmax(1) == labels).float().mean()


def _on_cpu(value: Tensor) -> Tensor:
    return value.cpu()
