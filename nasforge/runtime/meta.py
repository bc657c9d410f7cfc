"""The meta device as a stand-in for a GPU: every operator runs, nothing is computed or allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from nasforge.runtime.device import Runtime
from nasforge.runtime.result_shapes import META, ResultShapes

__all__ = ["META", "as_gpu", "reading_zeros"]

LOW = {
    *(torch.conv2d, torch.nn.functional.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm),
    *(torch.baddbmm, Tensor.matmul, Tensor.__matmul__, Tensor.mm, Tensor.bmm),
}
"""Functions that autocast computes in bfloat16."""


class _Autocast(TorchFunctionMode):
    """Does on the meta device, which has no autocast, what autocast does to convolutions and products.

    Parameters are cast once, other tensors whenever they are read, as by torch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cast: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in LOW:
            args, kwargs = tree_map_only(Tensor, self._lower, (args, kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _lower(self, tensor: Tensor) -> Tensor:
        if tensor.dtype != torch.float32 or tensor.device != META:
            return tensor
        if not (tensor.is_leaf and tensor.requires_grad):
            return tensor.to(torch.bfloat16)
        if id(tensor) not in self._cast:
            self._cast[id(tensor)] = tensor.to(torch.bfloat16)
        return self._cast[id(tensor)]


class _Generator(torch.Generator):
    """A generator of the CPU, for a device that has none."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        """Return a generator; draws on the meta device accept one of the CPU."""
        chosen = "cpu" if torch.device(device) == META else device
        return super().__new__(cls, chosen)  # type: ignore[call-arg]  # the stubs have no __new__


class _Zeros(TorchDispatchMode):
    """Gives zeros where values of the meta device are read."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name == "aten::_local_scalar_dense" and args[0].device == META:
            return torch.zeros((), dtype=args[0].dtype).item()
        if name == "aten::_to_copy" and args[0].device == META:
            device = kwargs.get("device")
            if device is not None and torch.device(device) != META:
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name == "aten::copy_" and args[1].device == META and args[0].device != META:
            return args[0].zero_()
        if name == "aten::equal" and META in (args[0].device, args[1].device):
            return False
        return func(*args, **kwargs)


@contextmanager
def reading_zeros() -> Iterator[None]:
    """Read every value of the meta device as zero, so that code that looks at values runs."""
    with _Zeros():  # type: ignore[no-untyped-call]
        yield


@contextmanager
def as_gpu(shapes: ResultShapes | None = None) -> Iterator[None]:
    """Treat the meta device as torch treats a GPU: with foreach operators, autocast and generators.

    `Tensor.tolist` gives zeros there, which set-ups read.

    Args:
        shapes: Results of earlier blocks, and of this one afterwards.
    """
    from torch.optim import optimizer
    from torch.utils import _foreach_utils

    name = "_get_foreach_kernels_supported_devices"
    kinds = [*getattr(_foreach_utils, name)(), META.type]

    def autocast(runtime: Runtime) -> AbstractContextManager[object]:
        if runtime.device != META:
            return before(runtime)
        return nullcontext() if runtime.precision == "fp32" else _Autocast()

    tolist = Tensor.tolist

    def read(tensor: Tensor) -> Any:
        return tolist(torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.device == META else tensor)

    before: Callable[[Runtime], AbstractContextManager[object]] = Runtime.autocast
    with ExitStack() as stack:
        for owner, replaced, value in (
            (_foreach_utils, name, lambda: kinds),
            (optimizer, name, lambda: kinds),
            (Runtime, "autocast", autocast),
            (Tensor, "tolist", read),
            (torch, "Generator", _Generator),
            (torch, "_sample_dirichlet", torch.empty_like),  # not known to the meta device
            (torch, "_dirichlet_grad", lambda x, *_: torch.empty_like(x)),
        ):
            stack.enter_context(_replaced(owner, replaced, value))
        stack.enter_context(shapes or ResultShapes())
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
