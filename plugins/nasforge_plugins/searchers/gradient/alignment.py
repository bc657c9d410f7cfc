"""Alignment of cells: a term that makes the gradients in their option weights point one way (Λ-DARTS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from nasforge.errors import RunError
from nasforge.nn import OptionWeights, Output
from nasforge_plugins.searchers.gradient.cells import Cells, Given
from nasforge_plugins.searchers.gradient.options import AlignmentOptions

__all__ = ["Alignment", "agreement", "slopes"]

SMALLEST = 1e-30
"""Norms below count as this: a cell without any gradient has no direction."""

Loss = Callable[[], tuple[Output, Tensor]]


def agreement(gradients: Sequence[Tensor]) -> Tensor:
    """Return Λ, the mean cosine between the gradients of two cells, a scalar (Movahedi et al., ICLR 2023).

    Args:
        gradients: One vector for each cell, ``(n,)``; at least two.
    """
    units = torch.stack([g / g.norm().clamp_min(SMALLEST) for g in gradients])
    count = len(units)
    return (units.sum(0).square().sum() - units.square().sum()) / (count * (count - 1))


def slopes(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return the derivative of `agreement` in each gradient, ``(n,)``.

    As `get_perturbations` of dr-faustus/Lambda-DARTS: ``2 / (L (L - 1)) · (I - u uᵀ) Σ u / |g|`` with the
    unit vectors ``u`` of the L cells.

    Args:
        gradients: One vector for each cell, ``(n,)``; at least two.
    """
    norms = [g.norm().clamp_min(SMALLEST) for g in gradients]
    units = [g / norm for g, norm in zip(gradients, norms, strict=True)]
    total = torch.stack(units).sum(0)
    weight = 2.0 / (len(gradients) * (len(gradients) - 1))
    return [weight * (total - u * u.dot(total)) / norm for u, norm in zip(units, norms, strict=True)]


class Alignment:
    """Adds ``-λ Λ`` to the loss of the network's weights.

    The gradient of Λ in the weights is a mixed second derivative of the loss times `slopes`. It is taken as a
    difference of two gradients: one with the option weights of every cell moved along its slope, one with
    them moved the other way (`get_reg_grads` of dr-faustus/Lambda-DARTS). Aligned are the
    cells of the kind that a network has most of: as published, the normal cells of DARTS, not its reduction
    cells.

    Args:
        options: The strength, and the length of the step.
        cells: The cells of the search network.

    Raises:
        RunError: No two cells have the same choices.
    """

    def __init__(self, options: AlignmentOptions, cells: Cells) -> None:
        self._options, self._cells = options, cells
        kinds = cells.kinds()
        most = max(map(len, kinds))
        if most < 2:
            raise RunError(
                "searcher.alignment.strength: every choice stands once in this search network, so there are "
                "no cells to align. Set it to 0, or search a space of repeated cells."
            )
        self._kinds = [kind for kind in kinds if len(kind) == most]

    def correct(
        self,
        run: Loss,
        network: nn.Module,
        others: Sequence[nn.Parameter],
        weights: OptionWeights,
        given: Sequence[Given],
        progress: float,
    ) -> tuple[Output, Tensor, Tensor, Tensor]:
        """Run the network and return what to descend.

        Args:
            run: Runs the network on the batch under ``weights``; returns output and loss.
            network: The gradients of its parameters are corrected.
            others: Parameters whose gradients the update also needs.
            weights: Option weights of all cells.
            given: Weights that single cells run with instead.
            progress: How far the search is, 0 in its first epoch, 1 in its last.

        Returns:
            Output; loss; Λ; a scalar that is linear in the parameters, with the gradients of the loss minus
            λ Λ.
        """
        own = [self._own(position, weights, cell) for position, cell in enumerate(given)]
        flat = [w for cell in own for w in cell.values()]
        learned = [p for p in network.parameters() if p.requires_grad]
        trained = [*learned, *(p for p in others if p.requires_grad)]
        with self._cells.given(own):
            output, loss = run()
            found = torch.autograd.grad(loss, [*flat, *trained], allow_unused=True)
        moves, lambda_ = self._moves(own, found[: len(flat)])
        gradients = list(found[len(flat) :])
        if strength := self._options.strength * progress:
            epsilon = self._options.epsilon / torch.cat([m for c in moves for m in c.values()]).norm()
            before, after = (
                self._differentiate(run, learned, own, moves, sign * epsilon) for sign in (-1.0, 1.0)
            )
            for i, (low, high) in enumerate(zip(before, after, strict=True)):
                gradient = gradients[i]
                if gradient is not None and low is not None and high is not None:
                    gradients[i] = gradient + strength * (low - high) / (2.0 * epsilon)
        terms = [(p * g).sum() for p, g in zip(trained, gradients, strict=True) if g is not None]
        return output, loss.detach(), lambda_, torch.stack(terms).sum()

    def _differentiate(
        self,
        run: Loss,
        learned: Sequence[nn.Parameter],
        own: Sequence[Mapping[str, Tensor]],
        moves: Sequence[Mapping[str, Tensor]],
        step: Tensor,
    ) -> Sequence[Tensor | None]:
        """Return the gradients of the loss with the option weights of every cell moved along its slope."""
        moved = [
            {name: w.detach() + step * move[name] for name, w in cell.items()}
            for cell, move in zip(own, moves, strict=True)
        ]
        with self._cells.given(moved):
            return torch.autograd.grad(run()[1], learned, allow_unused=True)

    def _own(self, position: int, weights: OptionWeights, given: Given) -> dict[str, Tensor]:
        """Return a cell's own copies of its option weights; none for a cell that is not aligned."""
        if not any(position in kind for kind in self._kinds):
            return {}
        found = {}
        for name in self._cells.list[position].names:
            value = given.get(name, weights.get(name))
            if isinstance(value, Tensor):
                copy = value.clone()
                found[name] = copy if copy.requires_grad else copy.requires_grad_()
        return found

    def _moves(
        self, own: Sequence[dict[str, Tensor]], gradients: Sequence[Tensor | None]
    ) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Return the slopes by cell and choice, and Λ, the mean over the kinds."""
        rows = iter(gradients)
        vectors = [
            torch.cat([_filled(next(rows), w) for w in cell.values()]) if cell else None for cell in own
        ]
        moves: list[dict[str, Tensor]] = [{} for _ in own]
        values = []
        for kind in self._kinds:
            aligned = [v for v in (vectors[position] for position in kind) if v is not None]
            values.append(agreement(aligned))
            for position, slope in zip(kind, slopes(aligned), strict=True):
                parts = slope.split([len(w) for w in own[position].values()])
                moves[position] = dict(zip(own[position], parts, strict=True))
        return moves, torch.stack(values).mean()


def _filled(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient
