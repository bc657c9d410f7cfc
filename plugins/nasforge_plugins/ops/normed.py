"""1x1 convolutions closed by batch norm, and sums of them, without the map between the two.

A batch norm needs mean and variance of its input ``p = W d``. Both follow from mean and covariance of ``d``,
which are small matrices: ``E[p] = W E[d]`` and ``Var[p] = diag(W Cov[d] W^T)``. The norm is then part of the
convolution's weights, and the option weight of an operation part of the norm's scale, so the sum of many
weighted operations is a sum of matrix products. What is saved for the gradient is ``d`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Statistics", "Term", "normed_sum"]


class Statistics:
    """Collects new running statistics, to write them with few operations."""

    def __init__(self) -> None:
        self.running: list[Tensor] = []
        self.seen: list[Tensor] = []
        self.counts: list[Tensor] = []
        self.shares: list[float] = []

    @torch.no_grad()
    def add(self, norms: Sequence[nn.BatchNorm2d], mean: Tensor, variance: Tensor, count: int) -> None:
        """Note what some batch norms have seen.

        Args:
            norms: G batch norms.
            mean: ``(G, C)``.
            variance: ``(G, C)``, biased.
            count: Pixels per channel.
        """
        unbiased = variance * (count / max(count - 1, 1))
        for norm, m, v in zip(norms, mean.unbind(), unbiased.unbind(), strict=True):
            if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
                continue
            self.counts.append(norm.num_batches_tracked)
            share = norm.momentum
            if share is None:
                share = 1.0 / (int(norm.num_batches_tracked) + 1)
            self.running += [norm.running_mean, norm.running_var]
            self.seen += [m, v]
            self.shares += [share, share]

    @torch.no_grad()
    def write(self) -> None:
        """Move the running statistics of all noted batch norms."""
        for share in sorted(set(self.shares)):
            chosen = [i for i, s in enumerate(self.shares) if s == share]
            torch._foreach_lerp_([self.running[i] for i in chosen], [self.seen[i] for i in chosen], share)
        if self.counts:
            torch._foreach_add_(self.counts, 1)
        self.__init__()  # type: ignore[misc]


class Term(NamedTuple):
    """One summand: G groups, each a 1x1 convolution and a batch norm.

    Attributes:
        x: What the convolutions see, ``(B, G C_in, H, W)``, channels last.
        weight: ``(G, C_out, C_in)``.
        norms: The G batch norms.
        scale: Factor of each group, ``(G,)``; None is 1.
    """

    x: Tensor
    weight: Tensor
    norms: Sequence[nn.BatchNorm2d]
    scale: Tensor | None = None


def normed_sum(terms: Sequence[Term], statistics: Statistics, *, relu: bool = False) -> Tensor:
    """Return the sum over terms of ``scale * norm(weight x)``, group by group.

    Args:
        terms: At least one; all of the same groups and sizes.
        statistics: Receives what the batch norms have seen, in training.
        relu: Rectify the result, and return it stacked for a convolution.

    Returns:
        ``(G, B H W, C_out)``, pixels row by row; with ``relu`` ``(B, G C_out, H, W)``, channels last.
    """
    flat: list[Tensor | None] = []
    frozen: list[tuple[Tensor, Tensor] | None] = []
    for term in terms:
        first = term.norms[0]
        groups = len(term.norms)
        scale = shift = None
        if first.affine:
            scale = torch.stack([norm.weight for norm in term.norms])
            shift = torch.stack([norm.bias for norm in term.norms])
        if term.scale is not None:
            factor = term.scale.to(term.x.dtype).unsqueeze(1)
            scale = factor.expand(groups, term.weight.shape[1]) if scale is None else factor * scale
            shift = None if shift is None else factor * shift
        flat += [term.x, term.weight, scale, shift]
        if first.training or first.running_mean is None:
            frozen.append(None)
        else:
            frozen.append(
                (
                    torch.stack([norm.running_mean for norm in term.norms]),  # type: ignore[misc]
                    torch.stack([norm.running_var for norm in term.norms]),  # type: ignore[misc]
                )
            )
    out, *seen = _NormedSum.apply(relu, terms[0].norms[0].eps, frozen, *flat)
    if seen:
        count = terms[0].x.numel() // terms[0].x.shape[1]
        for term, mean, variance in zip(terms, seen[::2], seen[1::2], strict=True):
            statistics.add(term.norms, mean, variance, count)
    return out


class _NormedSum(torch.autograd.Function):
    """Letters as in the module's docstring; ``u`` is scale / deviation, ``n`` the number of pixels."""

    @staticmethod
    def forward(ctx: Any, relu: bool, eps: float, frozen: list[Any], *flat: Tensor | None) -> Any:
        saved: list[Tensor | None] = []
        seen: list[Tensor] = []
        products = []
        bias: Any = 0.0
        for (x, weight, scale, shift), fixed in zip(_quads(flat), frozen, strict=True):
            d = _rows(x, weight.shape[0])
            mean = projected = None
            if fixed is None:
                n = d.shape[1]
                mean = x.sum((0, 2, 3)).view(weight.shape[0], -1).div_(n)
                covariance = torch.bmm(d.mT, d).baddbmm_(mean.unsqueeze(2), mean.unsqueeze(1), alpha=-n)
                projected = torch.bmm(weight, covariance)
                mu = torch.bmm(weight, mean.unsqueeze(2)).squeeze(2)
                variance = (projected * weight).sum(2).div_(n).clamp_min_(0.0)
                seen += [mu, variance]
            else:
                mu, variance = fixed
            deviation = (variance + eps).rsqrt_()
            u = deviation if scale is None else deviation * scale
            bias = bias - u * mu if shift is None else bias + shift - u * mu
            product = u.unsqueeze(2) * weight
            products.append((d, product))
            saved += [d, weight, u, deviation, mu, mean, projected]
        first, product = products[0]
        groups, n, _ = first.shape
        b, _, h, w = cast("Tensor", flat[0]).shape
        ctx.shape = b, h, w
        out = first.new_empty((n, groups, bias.shape[1]) if relu else (groups, n, bias.shape[1]))
        rows = out.permute(1, 0, 2) if relu else out
        torch.baddbmm(bias.unsqueeze(1), first, product.mT, out=rows)
        for d, product in products[1:]:
            rows.baddbmm_(d, product.mT)
        if relu:
            out = out.relu_().view(b, h, w, -1).permute(0, 3, 1, 2)
        ctx.relu = relu
        ctx.save_for_backward(out if relu else None, *saved)
        ctx.mark_non_differentiable(*seen)
        ctx.set_materialize_grads(False)
        return (out, *seen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> Any:
        out, *saved = ctx.saved_tensors
        needs = ctx.needs_input_grad[3:]
        results: list[Tensor | None] = [None] * len(needs)
        if grad is None:
            return (None, None, None, *results)
        if ctx.relu:
            grad = grad.contiguous(memory_format=torch.channels_last)
            grad = _rows(torch.ops.aten.threshold_backward(grad, out, 0), saved[1].shape[0])
        else:
            grad = grad.contiguous()
        total = grad.sum(1)
        for term in range(len(needs) // 4):
            d, weight, u, deviation, mu, mean, projected = saved[7 * term : 7 * term + 7]
            need_x, need_weight, need_scale, need_shift = needs[4 * term : 4 * term + 4]
            trained = mean is not None
            cross = moved = pull = None
            if trained or need_weight or need_scale:
                cross = torch.bmm(grad.mT, d)
                moved = (cross * weight).sum(2).sub_(mu * total).mul_(deviation)
            if trained and moved is not None:
                pull = (u * moved).mul_(deviation).div_(d.shape[1])
            if need_x:
                results[4 * term] = _input_gradient(grad, d, weight, u, mu, total, pull, ctx.shape)
            if need_weight:
                grad_weight = u.unsqueeze(2) * cast("Tensor", cross)
                if trained:
                    grad_weight.baddbmm_((u * total).unsqueeze(2), mean.unsqueeze(1), alpha=-1)
                    grad_weight.addcmul_(cast("Tensor", pull).unsqueeze(2), projected, value=-1)
                results[4 * term + 1] = grad_weight
            results[4 * term + 2] = moved if need_scale else None
            results[4 * term + 3] = total if need_shift else None
        return (None, None, None, *results)


def _input_gradient(
    grad: Tensor,
    d: Tensor,
    weight: Tensor,
    u: Tensor,
    mu: Tensor,
    total: Tensor,
    pull: Tensor | None,
    shape: tuple[int, int, int],
) -> Tensor:
    """Return the gradient of ``x``; ``pull`` is how far the batch's own statistics hold each channel back."""
    buffer = torch.empty_like(d)  # strided as d is
    product = u.unsqueeze(2) * weight
    if pull is None:
        torch.bmm(grad, product, out=buffer)
    else:
        back = torch.bmm(weight.mT, pull.unsqueeze(2) * weight)
        level = (pull * mu).sub_(u * total / d.shape[1])
        torch.baddbmm(torch.bmm(level.unsqueeze(1), weight), d, back, alpha=-1, out=buffer)
        buffer.baddbmm_(grad, product)
    return buffer.permute(1, 0, 2).reshape(*shape, -1).permute(0, 3, 1, 2)


def _rows(x: Tensor, groups: int) -> Tensor:
    """View ``(B, G C, H, W)``, channels last, as ``(G, B H W, C)``."""
    return x.permute(0, 2, 3, 1).reshape(-1, groups, x.shape[1] // groups).permute(1, 0, 2)


def _quads(flat: Sequence[Any]) -> list[Any]:
    return [flat[i : i + 4] for i in range(0, len(flat), 4)]
