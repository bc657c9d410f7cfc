"""Settings of torch that decide how a GPU computes: TF32, cuDNN's search, deterministic operators."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from nasforge.recipe import RunConfig

__all__ = ["DeviceSettings", "describe_settings"]

WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""Environment variable that cuBLAS reads when it starts, and a value under which it is deterministic."""


@dataclass(frozen=True)
class DeviceSettings:
    """Settings of this process for one GPU. On a CPU they change nothing.

    Attributes:
        tf32: Whether products of float32 round their factors to TF32; ``"auto"``: convolutions only, which
            is torch's default.
        cudnn_benchmark: Whether cuDNN times its algorithms for every shape.
        deterministic: Whether only deterministic operators are used.
    """

    tf32: bool | Literal["auto"] = "auto"
    cudnn_benchmark: bool = False
    deterministic: bool = False

    @classmethod
    def of(cls, options: RunConfig) -> DeviceSettings:
        """Return what the ``[run]`` table of a recipe says."""
        return cls(options.tf32, options.cudnn_benchmark, options.deterministic)

    def apply(self, device: torch.device) -> None:
        """Set torch up, and make the GPU the current one.

        Args:
            device: Where the run computes.
        """
        if device.type != "cuda":
            return
        if device.index is not None:
            torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = self.tf32 is True
        torch.backends.cudnn.allow_tf32 = self.tf32 is not False
        torch.backends.cudnn.benchmark = self.cudnn_benchmark
        torch.backends.cudnn.deterministic = self.deterministic
        if self.deterministic:
            os.environ.setdefault(*WORKSPACE)
        if self.deterministic or torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(self.deterministic)


def describe_settings() -> dict[str, Any]:
    """Return torch's settings in this process, as JSON data."""
    return {
        "tf32": {
            "products": torch.backends.cuda.matmul.allow_tf32,
            "convolutions": torch.backends.cudnn.allow_tf32,
        },
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
