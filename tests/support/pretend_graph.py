"""A stand-in for CUDA graphs: replays run the step again, and compare all that a graph would have kept.

A captured graph keeps the operators, their numbers, and the addresses of everything that existed before the
step. So every replay must call the same operators with equal numbers, and with the same memory wherever a
tensor was not made within the step.
"""

from contextlib import contextmanager
from unittest.mock import patch

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["BakedError", "PretendGraphs", "capturable_anywhere"]


class BakedError(AssertionError):
    """A replay would differ from the step."""


class PretendGraphs:
    """Captures steps on any device.

    Attributes:
        replays: How often captured steps ran.
    """

    def __init__(self):
        self.replays = 0

    def warm_up(self, step):
        return step()

    def capture(self, step):
        kept, outputs = [], {}

        def replay():
            with _Calls() as calls:
                outputs.update(step())
            if kept:
                _compare(kept, calls.found)
            kept[:] = calls.found
            self.replays += 1

        return replay, outputs


class _Calls(TorchDispatchMode):
    """Describes every operator: its name, its numbers, and which memory its tensors have."""

    def __init__(self):
        super().__init__()
        self.found, self._made, self._alive = [], {}, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        if name.startswith("profiler::"):  # marks for profilers, with a handle of their own
            return func(*args, **(kwargs or {}))
        if name == "aten::lift_fresh":  # numbers that become a tensor: a graph keeps their first values
            given = [value.tolist() for value in args if value.device.type != "meta"]
        else:
            given = [self._describe(value) for value in tree_leaves((args, kwargs or {}))]
        result = func(*args, **(kwargs or {}))
        fresh = name == "aten::lift_fresh"
        known = set() if fresh else {t.untyped_storage()._cdata for t in _tensors((args, kwargs or {}))}
        for tensor in _tensors(result):
            address = tensor.untyped_storage()._cdata
            if address not in known and address not in self._made:
                self._made[address] = len(self._made)
                self._alive.append(tensor)  # so that no other memory takes its address
        self.found.append((name, given))
        return result

    def _describe(self, value):
        if not isinstance(value, Tensor):
            return value
        storage = value.untyped_storage()._cdata
        place = ("made", self._made[storage]) if storage in self._made else ("static", storage)
        return (*place, value.storage_offset(), tuple(value.shape), value.stride(), value.dtype)


def _tensors(values):
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _compare(kept, found):
    for number, (before, now) in enumerate(zip(kept, found, strict=False)):
        if before[0] != now[0]:
            raise BakedError(f"operator {number} is {now[0]}, and was {before[0]}")
        if before[1] != now[1]:
            changed = [(b, n) for b, n in zip(before[1], now[1], strict=False) if b != n]
            raise BakedError(f"operator {number}, {now[0]}: {changed[:3]}")
    if len(kept) != len(found):
        raise BakedError(f"{len(found)} operators, and were {len(kept)}")


@contextmanager
def capturable_anywhere():
    """Let Adam keep its numbers in tensors on any device."""
    from torch.optim import adam

    with patch.object(adam, "_get_capturable_supported_devices", lambda *_, **__: ["cpu", "meta"]):
        yield
