"""Uniform scaling of the chain space: all channels by one factor, to a wanted cost."""

from collections.abc import Sequence
from typing import Any

from nasforge.arch import Arch
from nasforge.cost import measure_arch
from nasforge.space import Task

STEPS = 12
"""Halvings of the interval of factors; the last are below a thousandth of 4."""

SCALED = ("stem_channels", "head_channels", "classifier_channels")


def scaled_widths(space: Any, task: Task, arch: Arch, cost: str, target: float) -> tuple[str, ...]:
    """Return changes of the recipe with which the network of an architecture has a wanted cost.

    Channels are whole numbers, so the cost is the nearest that one factor for all of them reaches.

    Args:
        space: The space ``chain``.
        task: Input and output sizes.
        arch: The architecture.
        cost: ``"params"`` or ``"macs"``.
        target: The wanted cost.
    """
    best: tuple[float, dict[str, Any]] | None = None
    low, high = 0.0, 4.0
    for _ in range(STEPS):
        factor = (low + high) / 2
        options = _scaled(space, factor)
        found = getattr(measure_arch(space.with_options(**options), task, arch), cost)
        if best is None or abs(found - target) < best[0]:
            best = abs(found - target), options
        low, high = (factor, high) if found < target else (low, factor)
    assert best is not None
    return tuple(f"space.{name}={_toml(value)}" for name, value in best[1].items())


def _scaled(space: Any, factor: float) -> dict[str, Any]:
    config = space.config
    scaled = {name: max(1, round(factor * getattr(config, name))) for name in SCALED}
    return {"widths": tuple(max(1, round(factor * width)) for width in config.widths), **scaled}


def _toml(value: int | Sequence[int]) -> str:
    return str(value) if isinstance(value, int) else str(list(value))
