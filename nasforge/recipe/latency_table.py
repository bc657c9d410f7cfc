"""The ``[latency]`` table of a recipe: how networks are timed, for limits, objectives and tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from nasforge.config import PluginConfig
from nasforge.errors import suggest

__all__ = ["ONNXRUNTIME", "TORCH", "LatencyConfig"]

TORCH, ONNXRUNTIME = "torch", "onnxruntime"


class LatencyConfig(PluginConfig):
    """Options of the ``[latency]`` table: what runs the networks and modules that are timed."""

    backend: Annotated[str, Field(min_length=1)] = TORCH
    """Backend that runs a timed network: "torch" on the run's device, "onnxruntime" on the exported file, or
    a command with {file} in it, such as "ssh board ./bench {file}", that times an ONNX file elsewhere and
    prints one line of JSON: {"latency_ms": 3.2}."""

    runs: PositiveInt = 30
    """Timed calls of each network or module; a command decides for itself."""

    timeout: PositiveFloat = 300.0
    """Seconds after which a command is stopped, which is an error."""

    def programs(self) -> Mapping[str, str]:
        """Return the command."""
        return {} if self.backend in (TORCH, ONNXRUNTIME) else {"backend": self.backend}

    @field_validator("backend")
    @classmethod
    def _backend_is_known(cls, backend: str) -> str:
        if backend not in (TORCH, ONNXRUNTIME) and "{file}" not in backend:
            raise ValueError(
                f"{backend!r} is neither a backend nor a command with {{file}} in it."
                f"{suggest(backend, (TORCH, ONNXRUNTIME))}"
            )
        try:
            shlex.split(backend)
        except ValueError:
            raise ValueError(f"{backend!r} has a quote that is never closed. Close it.") from None
        return backend
