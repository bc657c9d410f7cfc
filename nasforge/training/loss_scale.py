"""Loss scaling for float16, whose smallest numbers are too large for many gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nasforge.errors import RunError
from nasforge.runtime import Runtime

__all__ = ["LossScale", "loss_scale_for"]

SMALLEST = 2.0**-14
"""Below this factor, gradients are not finite for another reason than the range of float16."""


class LossScale:
    """Factor of the loss, and of all gradients until they are divided by it (Micikevicius et al., ICLR 2018).

    The factor is halved after a step with gradients that are not finite, which is skipped, and doubled after
    2,000 others in a row, as `torch.amp.GradScaler` does. Unlike there, all optimisers of a step skip it
    together, gradients of parameters that no optimiser trains are divided too, and gradients from before the
    step are left as they were. With shards, the means over all of them are looked at, which are equal in all
    processes, so all make the same steps.

    Args:
        factor: The first factor.
        interval: Steps in a row after which it is doubled.

    Attributes:
        skipped: Number of skipped steps.
    """

    def __init__(self, factor: float = 2.0**16, interval: int = 2000) -> None:
        self.factor, self._interval = factor, interval
        self._finite, self._row = True, 0
        self.skipped = 0

    def unscale(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Divide gradients by the factor, in place; none is left if one of them is not finite.

        Args:
            gradients: Of a scaled loss; None where it does not depend on a parameter.
        """
        present = [gradient for gradient in gradients if gradient is not None]
        if not present:
            return list(gradients)
        largest = torch.stack([norm.float() for norm in torch._foreach_norm(present, float("inf"))])
        if not bool(largest.isfinite().all()):
            self._finite = False
            return [None] * len(gradients)
        torch._foreach_mul_(present, 1.0 / self.factor)
        return list(gradients)

    def end_step(self) -> bool:
        """Return whether the step is made, and prepare the next one.

        Raises:
            RunError: Smaller factors did not help.
        """
        finite, self._finite = self._finite, True
        if finite:
            self._row += 1
            if self._row == self._interval:
                self.factor, self._row = 2.0 * self.factor, 0
            return True
        self.factor, self._row = self.factor / 2.0, 0
        self.skipped += 1
        if self.factor < SMALLEST:
            raise RunError(
                f"run.precision: gradients in fp16 are not finite even with a loss times {self.factor:.0e}. "
                "Set run.precision to 'bf16' or 'fp32', or lower the learning rate."
            )
        return False

    def metrics(self) -> dict[str, float]:
        """Return ``skipped_updates``, the number of steps skipped so far, and ``loss_scale``, the factor."""
        return {"skipped_updates": float(self.skipped), "loss_scale": self.factor}

    def state_dict(self) -> dict[str, Any]:
        """Return the factor, the steps since it changed, and the number of skipped steps."""
        return {"factor": self.factor, "row": self._row, "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.factor, self._row, self.skipped = state["factor"], state["row"], state["skipped"]


def loss_scale_for(runtime: Runtime) -> LossScale | None:
    """Return a loss scale if networks run in float16; None for other types, whose range suffices."""
    return LossScale() if runtime.precision == "fp16" else None
