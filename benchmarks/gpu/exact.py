"""Equal noise and float64 throughout, so that steps on two devices can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

__all__ = ["EqualNoise", "in_float64"]

CPU = torch.device("cpu")


class EqualNoise(TorchDispatchMode):
    """Draws all noise on the CPU in float64, from torch's generator there.

    After `torch.manual_seed`, every device and precision gets the same noise.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        like = next((one for one in args if isinstance(one, Tensor)), None)
        device = torch.device(kwargs.get("device") or (like.device if like is not None else "cpu"))
        dtype = kwargs.get("dtype") or (like.dtype if like is not None else torch.get_default_dtype())
        exact = torch.float64 if dtype.is_floating_point else dtype
        given = tree_map_only(Tensor, lambda t: t.to(CPU, exact if t.is_floating_point() else t.dtype), args)
        accepted = {one.name for one in func._schema.arguments}
        kwargs |= {name: value for name, value in (("device", CPU), ("dtype", exact)) if name in accepted}
        drawn = func(*given, **kwargs)
        if func._schema.name.endswith("_") and like is not None:
            return like.copy_(drawn)
        return tree_map_only(Tensor, lambda t: t.to(device, dtype if t.dtype == exact else t.dtype), drawn)


@contextmanager
def in_float64() -> Iterator[None]:
    """Compute in float64 throughout, also losses, which are cast to float32 otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with patch.object(Tensor, "float", Tensor.double):
            yield
    finally:
        torch.set_default_dtype(before)
