"""1x1 convolutions closed by batch norm as one matrix product, without the map between the two.

A batch norm needs mean and variance of its input ``p = W d``. Both follow from mean and covariance of ``d``,
which are small: ``E[p] = W E[d]`` and ``Var[p] = diag(W Cov[d] W^T)``. The norm is then part of the
convolution's weights, and the option weight of an operation part of the norm's scale, so the sum of many
weighted operations is a sum of matrix products. Only ``d`` has to be kept for the gradient.

Everything here works on ``L`` layers at once, whose maps have ``n`` pixels each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Folded", "Unfolded", "fold", "moments", "unfold"]


class Folded(NamedTuple):
    """Convolutions with their norms folded in: ``y = d product^T + bias``.

    Attributes:
        product: ``(L, C_out, C_in)``.
        bias: ``(L, 1, C_out)``.
        gain: Scale over deviation, ``(L, C_out)``.
        deviation: One over the standard deviation, ``(L, C_out)``.
        mean: Mean that the norm subtracts, ``(L, C_out)``.
        variance: Variance that it divides by, ``(L, C_out)``.
        mean_in: Mean of ``d``, ``(L, C_in)``; None if the norm uses its running statistics.
        spread: Weight times the centred squares of ``d``, ``(L, C_out, C_in)``; None as above.
    """

    product: Tensor
    bias: Tensor
    gain: Tensor
    deviation: Tensor
    mean: Tensor
    variance: Tensor
    mean_in: Tensor | None
    spread: Tensor | None


class Unfolded(NamedTuple):
    """Gradients of `fold` and of the products made with it.

    Attributes:
        back: ``(L, C_in, C_in)``; None as in `Folded`. The gradient of ``d`` is
            ``grad product - d back + level``.
        level: ``(L, 1, C_in)``.
        weight: Gradient of the 1x1 weights, ``(L, C_out, C_in)``.
        scale: Gradient of the scale, ``(L, C_out)``.
    """

    back: Tensor | None
    level: Tensor | None
    weight: Tensor
    scale: Tensor


def moments(maps: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Return sums and sums of squares over pixels; each map is taken when the one before it is done.

    Args:
        maps: Maps of G layers each, ``(G, n, C)``.
        count: K, how many maps there are.

    Returns:
        ``(K G, C)`` and ``(K G, C, C)``.
    """
    sums = squares = None
    for k, d in enumerate(maps):
        groups, _, channels = d.shape
        if sums is None or squares is None:
            sums = d.new_empty(count * groups, channels)
            squares = d.new_empty(count * groups, channels, channels)
        some = slice(k * groups, (k + 1) * groups)
        torch.sum(d, 1, out=sums[some])
        torch.bmm(d.mT, d, out=squares[some])
    assert sums is not None
    assert squares is not None
    return sums, squares


def fold(
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    eps: float,
    n: int,
    *,
    seen: tuple[Tensor, Tensor] | None = None,
    running: tuple[Tensor, Tensor] | None = None,
) -> Folded:
    """Fold batch norms into the 1x1 convolutions before them.

    Args:
        weight: ``(L, C_out, C_in)``.
        scale: ``(L, C_out)`` or ``(L, 1)``; None is 1.
        shift: ``(L, C_out)``; None is 0.
        eps: Added to each variance by the norms.
        n: Pixels of a map.
        seen: Result of `moments`, for norms that use the statistics of the batch; overwritten.
        running: Running mean and variance, ``(L, C_out)`` each, for the others.
    """
    mean_in = spread = None
    if seen is not None:
        mean_in = seen[0].div_(n)
        spread = torch.bmm(weight, seen[1].baddbmm_(mean_in.unsqueeze(2), mean_in.unsqueeze(1), alpha=-n))
        mean = torch.bmm(weight, mean_in.unsqueeze(2)).squeeze(2)
        variance = (spread * weight).sum(2).div_(n).clamp_min_(0.0)
    else:
        assert running is not None
        mean, variance = running
    deviation = (variance + eps).rsqrt_()
    gain = deviation if scale is None else deviation * scale
    bias = torch.mul(gain, mean).neg_() if shift is None else torch.addcmul(shift, gain, mean, value=-1)
    product = gain.unsqueeze(2) * weight
    return Folded(product, bias.unsqueeze(1), gain, deviation, mean, variance, mean_in, spread)


def unfold(folded: Folded, weight: Tensor, cross: Tensor, total: Tensor, n: int) -> Unfolded:
    """Return the gradients of `fold`'s arguments, given those of its products.

    Args:
        folded: Result of `fold`.
        weight: The 1x1 weights, ``(L, C_out, C_in)``.
        cross: ``grad^T d``, ``(L, C_out, C_in)``; overwritten.
        total: Sum of ``grad`` over pixels, ``(L, C_out)``: the gradient of the shift, too.
        n: Pixels of a map.
    """
    scale = (cross * weight).sum(2).addcmul_(folded.mean, total, value=-1).mul_(folded.deviation)
    grad_weight = cross.mul_(folded.gain.unsqueeze(2))
    if folded.mean_in is None or folded.spread is None:
        return Unfolded(None, None, grad_weight, scale)
    # How far the batch's own statistics hold each channel back.
    pull = (folded.gain * scale).mul_(folded.deviation).div_(n)
    pushed = folded.gain * total
    back = torch.bmm(weight.mT, pull.unsqueeze(2) * weight)
    level = torch.bmm((pull * folded.mean).sub_(pushed, alpha=1 / n).unsqueeze(1), weight)
    grad_weight.baddbmm_(pushed.unsqueeze(2), folded.mean_in.unsqueeze(1), alpha=-1)
    grad_weight.addcmul_(pull.unsqueeze(2), folded.spread, value=-1)
    return Unfolded(back, level, grad_weight, scale)
