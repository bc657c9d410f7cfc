"""Record the operations of a block with torch.fx, one block at a time.

The recording is read and thrown away: networks run the model's own code. So a model whose forward pass
cannot be recorded as a whole is accepted, as long as its blocks can.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

__all__ = ["ACTIVATIONS", "NORMS", "record"]

NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, nn.InstanceNorm2d)
"""Norms that keep channels apart."""

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "gelu": nn.GELU,
    "mish": nn.Mish,
}
"""Activations that can be chosen, by name."""


class _BlockTracer(fx.Tracer):
    """Looks into modules down to convolutions, norms, and other modules without children.

    Args:
        shallow: Look into no module at all.
    """

    def __init__(self, shallow: bool) -> None:
        super().__init__()
        self._shallow = shallow

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if self._shallow:
            return True
        whole = isinstance(m, (nn.Conv2d, nn.Linear, *NORMS)) or next(m.children(), None) is None
        empty = isinstance(m, nn.Sequential) and len(m) == 0
        return (whole and not empty) or super().is_leaf_module(m, module_qualified_name)


def record(module: nn.Module, *, shallow: bool = False) -> fx.Graph | str:
    """Return the operations of a module, or one line on why they cannot be recorded.

    Args:
        module: Called with one tensor; its other parameters take their defaults.
        shallow: Record calls of its submodules rather than what these do.
    """
    parameters = [
        p for p in inspect.signature(module.forward).parameters.values() if p.kind < p.VAR_POSITIONAL
    ]
    if not parameters:
        return "its forward() takes no argument"
    missing = [p.name for p in parameters[1:] if p.default is p.empty]
    if missing:
        return f"its forward() takes more than one map ({', '.join(missing)})"
    given: dict[str, Any] = {p.name: p.default for p in parameters[1:]}
    try:
        # Tensors that a forward pass makes would land on the device of the caller.
        with torch.device("cpu"):
            return _BlockTracer(shallow).trace(module, concrete_args=given or None)
    except Exception as error:  # whatever the code of the block raises when it is given a proxy
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"{type(error).__name__}: {reason}"
