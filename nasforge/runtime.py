"""Where a run computes: device, precision and memory layout."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import nn

from nasforge.errors import RunError

__all__ = ["Precision", "Runtime"]

M = TypeVar("M", bound=nn.Module)
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Runtime:
    """Device, precision and layout of one run.

    Attributes:
        device: Where networks and small image sets live.
        precision: ``"bf16"`` runs networks under autocast; losses and option weights stay float32.
        channels_last: Keep feature maps as NHWC, which CPU and GPU convolutions prefer.
    """

    device: torch.device
    precision: Precision = "fp32"
    channels_last: bool = True

    @classmethod
    def create(
        cls, device: str = "auto", precision: Precision = "fp32", channels_last: bool = True
    ) -> Runtime:
        """Choose the device and check that it is there.

        Args:
            device: ``"auto"`` (CUDA, then Apple's MPS, then CPU), or a torch device such as ``"cuda:1"``.
            precision: See the class.
            channels_last: See the class.

        Raises:
            RunError: The device is unknown or missing.
        """
        if device == "auto":
            mps = torch.backends.mps.is_available()
            device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
        try:
            chosen = torch.device(device)
            torch.empty(1, device=chosen)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(
                f"run.device: {device!r} cannot be used: {reason.rstrip('.')}. "
                "Write 'auto', 'cpu', 'cuda' or 'cuda:<number>'."
            ) from None
        return cls(chosen, precision, channels_last)

    def prepare(self, module: M) -> M:
        """Move a module to the device and layout; parameter names stay as they are."""
        module = module.to(self.device)
        return module.to(memory_format=torch.channels_last) if self.channels_last else module

    def prepare_images(self, images: torch.Tensor) -> torch.Tensor:
        """Move a batch ``(B, C, H, W)`` to the device and layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(self.device, non_blocking=True).contiguous(memory_format=layout)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context that networks run in."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)
