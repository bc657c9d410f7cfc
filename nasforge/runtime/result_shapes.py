"""Results of operators on the meta device, remembered by the shapes of their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["META", "ResultShapes"]

META = torch.device("meta")


class _Made(NamedTuple):
    """Shape, strides and dtype of a tensor that an operator makes."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


class ResultShapes(TorchDispatchMode):
    """Runs an operator once for arguments of the same shapes; later calls only make empty results.

    Torch derives the shapes of most results on the meta device in Python, which takes milliseconds per
    operator. Results have the same storages, sizes and strides as without this mode. Operators whose results
    share memory with their arguments or with each other are run every time, except those that write to their
    first argument and return it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: dict[Any, tuple[type, tuple[Any, ...]] | _Made | None] = {}
        self._kinds: dict[Any, str] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if (kind := self._kinds.get(func)) is None:
            kind = self._kinds[func] = _kind_of(func)
        if kind == "other":
            return func(*args, **kwargs)
        found: list[bool] = []
        try:
            key = (func, _describe(args, found), _describe(tuple(kwargs.items()), found))
            known = self._known.get(key)
        except TypeError:  # an argument without a hash
            return func(*args, **kwargs)
        if not found or not all(found):
            return func(*args, **kwargs)
        if known is not None:
            return args[0] if kind == "in place" else _make(known)
        result = func(*args, **kwargs)
        if kind == "in place":
            self._known[key] = (tuple, ())
        else:
            taken = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
            self._known[key] = _remember(result, taken)
        return result


def _kind_of(func: Any) -> str:
    """Return whether an operator is ``"pure"`` with new results, ``"in place"``, or ``"other"``."""
    schema = func._schema
    if func.is_view or torch.Tag.inplace_view in func.tags:
        return "other"
    aliased = [one.alias_info is not None for one in schema.returns]
    if not schema.returns or not any(aliased):
        return "pure"
    written = [one.alias_info is not None and one.alias_info.is_write for one in schema.arguments[:1]]
    return "in place" if len(schema.returns) == 1 and written == [True] else "other"


def _describe(value: Any, found: list[bool]) -> Any:
    """Return what decides the shapes of results; note for each tensor whether it is on the meta device."""
    if isinstance(value, Tensor):
        found.append(value.device == META)
        return (value.shape, value.stride(), value.dtype)
    if isinstance(value, (list, tuple)):
        return tuple([_describe(one, found) for one in value])
    return (type(value), value)  # 1, 1.0 and True are equal


def _remember(result: Any, taken: set[int]) -> tuple[type, tuple[Any, ...]] | _Made | None:
    """Return what makes an equal result; None if it is not all new memory."""
    if result is None:
        return (type(None), ())
    if isinstance(result, (list, tuple)):
        parts = [_remember(one, taken) for one in result]
        return None if any(part is None for part in parts) else (type(result), tuple(parts))
    if not isinstance(result, Tensor) or result.device != META:
        return None
    storage = result.untyped_storage()
    if storage._cdata in taken or storage.nbytes() != _needed(result):
        return None
    taken.add(storage._cdata)
    return _Made(tuple(result.shape), tuple(result.stride()), result.dtype)


def _needed(tensor: Tensor) -> int:
    if not tensor.numel():
        return 0
    last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size()


def _make(known: tuple[type, tuple[Any, ...]] | _Made) -> Any:
    if isinstance(known, _Made):
        return torch.empty_strided(known.shape, known.stride, dtype=known.dtype, device=META)
    kind, parts = known
    return None if kind is type(None) else kind(map(_make, parts))


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        return _tensors(list(values.values()))
    return [t for one in values for t in _tensors(one)] if isinstance(values, (list, tuple)) else []
