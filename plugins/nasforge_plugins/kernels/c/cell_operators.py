"""Kernels for cells whose nodes are sums, as operators of torch, so that profilers and counters see them.

Maps are ``(B, H, W, channels)``, contiguous.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch import library as torch_library
from torch.utils.flop_counter import register_flop_formula

from nasforge_plugins.kernels.c.calling import call
from nasforge_plugins.kernels.c.cell_terms import Dots, Gathered, Uses, terms_in_c, uses_in_c
from nasforge_plugins.kernels.c.compiling import compiled

__all__ = ["Dots", "Gathered", "Uses", "dots", "gather", "has_kernels", "rectify", "unnorm"]

SOURCE = "cell.c"


class CellFormInC(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("images", "height", "width", "channels", "threads")]


def has_kernels(x: Tensor) -> bool:
    """Return whether there are kernels for maps like ``x``."""
    return x.device.type == "cpu" and x.numel() > 0 and compiled(x.dtype, SOURCE) is not None


USES = "Tensor[] grads, Tensor x, Tensor? maps, Tensor? mean, Tensor? rectified, int[] columns, int[] places"
_operators = torch_library.Library("nasforge", "FRAGMENT")
_operators.define("rectify(Tensor x, bool moments) -> (Tensor, Tensor, Tensor)")
_operators.define(
    "gather(Tensor like, Tensor[] maps, Tensor? gains, Tensor[] rows, Tensor? products, Tensor? level, "
    "Tensor? gate, Tensor[] skipped, Tensor? skip_factors, Tensor[] pooled, Tensor? pool_factors, "
    "bool turned) -> Tensor"
)
_operators.define(f"dots({USES}, bool skip, bool pool) -> (Tensor, Tensor, Tensor, Tensor)")
_operators.define(f"unnorm({USES}, Tensor coefficients, bool batch) -> Tensor")


@register_flop_formula(torch.ops.nasforge.rectify)
def _rectify_flop(x: Any, moments: bool, *_: Any, out_shape: Any = None, **options: Any) -> int:
    """Count the squares; torch's counter must know of all that stands for convolutions."""
    return 2 * math.prod(x) * x[3] * moments


@register_flop_formula(torch.ops.nasforge.gather)
def _gather_flop(
    like: Any, maps: Any, gains: Any, rows: Any, *_: Any, out_shape: Any = None, **options: Any
) -> int:
    """Count the matrix products."""
    return 2 * math.prod(like) * like[3] * len(rows)


@register_flop_formula(torch.ops.nasforge.dots)
def _dots_flop(
    grads: Any,
    x: Any,
    maps: Any,
    mean: Any,
    rectified: Any,
    columns: Any,
    places: Any,
    *_: Any,
    **options: Any,
) -> int:
    """Count the matrix products."""
    return 2 * math.prod(x) * x[3] * sum(place >= 0 for place in places)


def _rectify(x: Tensor, moments: bool) -> tuple[Tensor, Tensor, Tensor]:
    channels = x.shape[3] if moments else 0
    found = torch.empty_like(x), x.new_empty(channels), x.new_empty(channels, channels)
    _run("rectify", x, x, found[0], *(found[1:] if moments else (None, None)))
    return found


def _gather(
    like: Tensor,
    maps: Sequence[Tensor],
    gains: Tensor | None,
    rows: Sequence[Tensor],
    products: Tensor | None,
    level: Tensor | None,
    gate: Tensor | None,
    skipped: Sequence[Tensor],
    skip_factors: Tensor | None,
    pooled: Sequence[Tensor],
    pool_factors: Tensor | None,
    turned: bool,
) -> Tensor:
    lists = maps, gains, rows, products, level, gate, skipped, skip_factors, pooled, pool_factors
    terms = terms_in_c(Gathered(*lists), turned)
    out = torch.empty_like(like)
    _run("gather", like, ctypes.byref(terms), out)
    return out


def _dots(
    grads: Sequence[Tensor],
    x: Tensor,
    maps: Tensor | None,
    mean: Tensor | None,
    rectified: Tensor | None,
    columns: Sequence[int],
    places: Sequence[int],
    skip: bool,
    pool: bool,
) -> Dots:
    uses = Uses(grads, x, maps, mean, rectified, columns, places)
    channels, count = x.shape[3], 0 if maps is None else maps.shape[3]
    found = Dots(
        x.new_empty(len(grads), channels),
        x.new_zeros(count),  # nodes that have no gradient leave theirs alone
        x.new_empty(sum(place >= 0 for place in places), channels, channels),
        x.new_empty(len(grads), 2),
    )
    _run("dots", x, ctypes.byref(uses_in_c(uses, skip, pool)), *found)
    return found


def _unnorm(
    grads: Sequence[Tensor],
    x: Tensor,
    maps: Tensor,
    mean: Tensor,
    rectified: Tensor | None,
    columns: Sequence[int],
    places: Sequence[int],
    coefficients: Tensor,
    batch: bool,
) -> Tensor:
    uses = Uses(grads, x, maps, mean, rectified, columns, places)
    written = sum(column >= 0 for column in columns) * x.shape[3]
    out = torch.empty_like(maps) if written == maps.shape[3] else torch.zeros_like(maps)
    _run("unnorm", x, ctypes.byref(uses_in_c(uses, False, False)), coefficients, ctypes.c_int64(batch), out)
    return out


for _name, _kernel in (
    *(("rectify", _rectify), ("gather", _gather)),
    *(("dots", _dots), ("unnorm", _unnorm)),
):
    _operators.impl(_name, _kernel, "CPU")


def rectify(x: Tensor, *, moments: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rectified map; its sums ``(C,)`` and sums of squares ``(C, C)`` over pixels, or nothing.

    Args:
        x: The map.
        moments: Whether the sums are wanted.
    """
    return cast("tuple[Tensor, Tensor, Tensor]", torch.ops.nasforge.rectify(x, moments))


def gather(like: Tensor, terms: Gathered, *, turned: bool = False) -> Tensor:
    """Return a sum of weighted maps, matrix products and pooled maps.

    Args:
        like: A map of the same shape.
        terms: The terms of the sum.
        turned: Do not pool, but return the gradient of pooling.
    """
    lists = (list(t) if isinstance(t, (list, tuple)) else t for t in terms)
    return cast("Tensor", torch.ops.nasforge.gather(like, *lists, turned))


def dots(uses: Uses, *, skip: bool, pool: bool) -> Dots:
    """Return all sums over pixels that the gradients of a source's operations are made from.

    Args:
        uses: The operations of the source.
        skip: Whether products with the source are wanted.
        pool: Whether those with the pooled source are.
    """
    return Dots(*torch.ops.nasforge.dots(*uses.to_arguments(), skip, pool))


def unnorm(uses: Uses, coefficients: Tensor, *, batch: bool) -> Tensor:
    """Return the gradient of the maps, ``gain (grad - level - pull (map - mean))``, side by side.

    Args:
        uses: The operations of the source.
        coefficients: Gain, level and pull of all columns, ``(3, columns)``.
        batch: Whether norms use the statistics of the batch; else it is ``gain grad``.
    """
    return cast("Tensor", torch.ops.nasforge.unnorm(*uses.to_arguments(), coefficients, batch))


def _run(name: str, x: Tensor, *given: Any) -> None:
    images, height, width, channels = x.shape
    form = CellFormInC(images, height, width, channels, torch.get_num_threads())
    call(SOURCE, x.dtype, name, form, given)
