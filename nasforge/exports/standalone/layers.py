"""Layers of torch.nn as the text of their constructor."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.nn import SlicedBatchNorm2d, SlicedConv2d, SlicedLayerNorm, SlicedLinear

__all__ = ["TorchLayer", "Value", "layer_of", "literal"]

Value = int | float | bool | str | tuple[Any, ...] | None
"""An argument that can be written as a literal."""

_NOT_WRITTEN = frozenset({"self", "device", "dtype", "inplace", "_weight", "_freeze"})

_WHOLE: dict[type[nn.Module], type[nn.Module]] = {
    SlicedBatchNorm2d: nn.BatchNorm2d,
    SlicedConv2d: nn.Conv2d,
    SlicedLayerNorm: nn.LayerNorm,
    SlicedLinear: nn.Linear,
}
"""Layers that compute as another one does while nothing is cut off."""


@dataclass(frozen=True)
class TorchLayer:
    """A layer of torch.nn.

    Attributes:
        kind: Name of its class.
        required: Values of the arguments without a default, by name.
        optional: Values of the others.
    """

    kind: str
    required: tuple[tuple[str, Value], ...]
    optional: tuple[tuple[str, Value], ...]


def layer_of(module: nn.Module) -> TorchLayer | None:
    """Describe a layer, or return None if it is not one whose constructor can be written.

    Args:
        module: Any module whose call is one operator. Only classes of torch.nn itself count, or sliced ones,
            which cut nothing off then; and only if the described layer has the same settings and the same
            weights by name and shape.
    """
    kind = _WHOLE.get(type(module), type(module))
    if getattr(nn, kind.__name__, None) is not kind or any(True for _ in module.children()):
        return None
    required, optional = [], []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in _NOT_WRITTEN or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if not hasattr(module, name):
            if parameter.default is parameter.empty:
                return None
            continue
        value = getattr(module, name)
        if name == "bias" and isinstance(value, Tensor | None):
            value = value is not None
        if not _is_literal(value := _shortened(value)):
            return None
        if parameter.default is parameter.empty:
            required.append((name, value))
        else:
            optional.append((name, value))
    found = TorchLayer(kind.__name__, tuple(required), tuple(optional))
    return found if _same(module, found) else None


def default_of(kind: str, name: str) -> Value:
    """Return the default of an argument of a layer."""
    default: Value = inspect.signature(getattr(nn, kind)).parameters[name].default
    return default


def literal(value: Value) -> str:
    """Write a value as Python reads it."""
    return repr(value)


def _shortened(value: Any) -> Any:
    """Return one number for equal ones, as ``kernel_size`` takes it."""
    if isinstance(value, tuple) and value and isinstance(value[0], int) and len(set(value)) == 1:
        return value[0]
    return value


def _is_literal(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_literal(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str)


def _same(module: nn.Module, layer: TorchLayer) -> bool:
    try:
        with torch.device("meta"):
            rebuilt = getattr(nn, layer.kind)(**dict(layer.required), **dict(layer.optional))
    except (TypeError, ValueError, RuntimeError):
        return False
    shapes = [{n: (t.shape, t.dtype) for n, t in m.state_dict().items()} for m in (module, rebuilt)]
    if hasattr(module, "inplace"):
        rebuilt.inplace = module.inplace
    return shapes[0] == shapes[1] and module.extra_repr() == rebuilt.extra_repr()
