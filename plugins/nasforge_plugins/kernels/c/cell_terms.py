"""Arguments of the kernels for cells, in Python and in C: maps and their factors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from nasforge_plugins.kernels.c.calling import address

__all__ = ["Dots", "Gathered", "Uses", "terms_in_c", "uses_in_c"]

MOST = 3  # as in cell.c


class Gathered(NamedTuple):
    """The terms of a sum, see `gather`; at most three of each kind.

    Attributes:
        maps: Maps, each of which may be some channels of one with more.
        gains: Their factors, ``(maps, C)``.
        rows: Maps that are multiplied by matrices, one more at most.
        products: The matrices, ``(rows, C, C)``.
        level: Is added to every pixel, ``(C,)``; None is 0.
        gate: Where it is zero or less, the terms above are left out.
        skipped: Maps with one factor each.
        skip_factors: ``(skipped,)``.
        pooled: Maps with one factor each, whose sum is pooled.
        pool_factors: ``(pooled,)``.
    """

    maps: Sequence[Tensor] = ()
    gains: Tensor | None = None
    rows: Sequence[Tensor] = ()
    products: Tensor | None = None
    level: Tensor | None = None
    gate: Tensor | None = None
    skipped: Sequence[Tensor] = ()
    skip_factors: Tensor | None = None
    pooled: Sequence[Tensor] = ()
    pool_factors: Tensor | None = None


class Uses(NamedTuple):
    """The operations of a source, and the gradients of the nodes they lead to.

    Attributes:
        grads: Gradients of the nodes, at most three.
        x: The source.
        maps: Maps of its 3x3 convolutions, side by side; None: there are none.
        mean: Mean of each of their channels.
        rectified: The source, rectified; None: no 1x1 convolution reads it.
        columns: Per node the first channel of its map, -1 if there is none.
        places: Per node the place of its 1x1 convolution among those of the source, likewise.
    """

    grads: Sequence[Tensor]
    x: Tensor
    maps: Tensor | None
    mean: Tensor | None
    rectified: Tensor | None
    columns: Sequence[int]
    places: Sequence[int]

    def to_arguments(self) -> tuple[Any, ...]:
        """Return the fields in the form of operator arguments."""
        return (list(self.grads), *self[1:5], list(self.columns), list(self.places))


class Dots(NamedTuple):
    """Products of the gradients of nodes with maps of a source, summed over pixels.

    Attributes:
        totals: Sums of the gradients alone, ``(nodes, C)``.
        along: With the maps less their means, ``(columns,)``.
        cross: With the rectified source, ``(places, C, C)``.
        plain: With the source and with the pooled source, ``(nodes, 2)``; 0 where not requested.
    """

    totals: Tensor
    along: Tensor
    cross: Tensor
    plain: Tensor


class TermsInC(ctypes.Structure):
    """`Gathered` in C."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("maps", "products", "skips", "pools", "turned")),
        ("columns", ctypes.c_int64 * MOST),
        *(("map", ctypes.c_void_p * MOST), ("gains", ctypes.c_void_p)),
        *(("row", ctypes.c_void_p * (MOST + 1)), ("mats", ctypes.c_void_p)),
        *(("level", ctypes.c_void_p), ("gate", ctypes.c_void_p)),
        *(("skip", ctypes.c_void_p * MOST), ("skip_factors", ctypes.c_void_p)),
        *(("pool", ctypes.c_void_p * MOST), ("pool_factors", ctypes.c_void_p)),
    ]


class UsesInC(ctypes.Structure):
    """`Uses` in C."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("targets", "columns")),
        *(("map", ctypes.c_int64 * MOST), ("product", ctypes.c_int64 * MOST)),
        *(("skip", ctypes.c_int64), ("pool", ctypes.c_int64)),
        ("grad", ctypes.c_void_p * MOST),
        *((name, ctypes.c_void_p) for name in ("x", "maps", "mean", "rectified")),
    ]


def uses_in_c(uses: Uses, skip: bool, pool: bool) -> UsesInC:
    """Return the arguments in C; the tensors have to outlive them."""
    form = UsesInC(targets=len(uses.grads), skip=skip, pool=pool)
    for i, grad in enumerate(uses.grads):
        form.grad[i] = address(grad)
        form.map[i], form.product[i] = uses.columns[i], uses.places[i]
    for field in ("x", "maps", "mean", "rectified"):
        tensor = getattr(uses, field)
        setattr(form, field, None if tensor is None else address(tensor))
    form.columns = 0 if uses.maps is None else uses.maps.shape[3]
    return form


def terms_in_c(terms: Gathered, turned: bool) -> TermsInC:
    """Return the arguments in C; the tensors have to outlive them."""
    counts = (len(terms.maps), len(terms.rows), len(terms.skipped), len(terms.pooled))
    form = TermsInC(*counts, turned)
    for i, some in enumerate(terms.maps):  # some channels of a contiguous map
        form.columns[i], form.map[i] = some.stride(2), some.data_ptr()
    for field, tensors in (("row", terms.rows), ("skip", terms.skipped), ("pool", terms.pooled)):
        for i, each in enumerate(tensors):
            getattr(form, field)[i] = address(each)
    given = {"gains": terms.gains, "mats": terms.products, "level": terms.level, "gate": terms.gate}
    given |= {"skip_factors": terms.skip_factors, "pool_factors": terms.pool_factors}
    for name, tensor in given.items():
        setattr(form, name, None if tensor is None else address(tensor))
    return form
