"""Early stopping of operations whose training and validation gradients disagree (OLES)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nasforge.nn import ChoiceBlock
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gradient.options import EarlyStoppingOptions

__all__ = ["OperationStopping", "mean_cosine"]


def mean_cosine(gradients: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return the agreement of an operation's gradients, a scalar from -1 to 1.

    The mean over the parameters of the mean over their inputs and kernel positions of the cosine along their
    outputs, as `check_grads_cosine` of PasaLab/oles; the paper writes one cosine (Jiang et al., NeurIPS 2023,
    the gradient matching score GM).

    Args:
        gradients: One for each parameter, ``(outputs, …)``.
        others: Of the same shapes.
    """
    cosines = [torch.cosine_similarity(a, b, dim=0).mean() for a, b in zip(gradients, others, strict=True)]
    return torch.stack(cosines).mean()


class OperationStopping:
    """Measures every operation with parameters once per batch, and stops those that overfit.

    Compared are the gradient with which an operation last learned, after clipping, and the gradient of the
    architecture's loss behind that step. After `interval` + 1 measurements, their sum over `interval`
    is judged, and a new count begins; both as published. An operation that has stopped keeps its weights to
    the end of the search: no gradient, weight decay or momentum moves them.

    Args:
        options: When operations are judged, and the threshold.
        space: Names the options without parameters, which are not measured.
        network: The search network.
    """

    def __init__(self, options: EarlyStoppingOptions, space: NetworkSpace[Any], network: nn.Module) -> None:
        self._options = options
        self._operations = dict(_operations(space, network)) if options.threshold is not None else {}
        self._before: dict[str, list[Tensor]] = {}
        self._sums: dict[str, Tensor] = {}
        self._counts = dict.fromkeys(self._operations, 0)
        self.stopped: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether there are operations to measure."""
        return bool(self._operations)

    def measured(self) -> list[nn.Parameter]:
        """Return the parameters of the operations that have not stopped."""
        return [p for name in self._operations if name not in self.stopped for p in self._operations[name]]

    def select_unmeasured(self, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Return those of the parameters whose gradients are not measured.

        Args:
            parameters: Of the search network.
        """
        known = {id(p) for p in self.measured()}
        return [p for p in parameters if id(p) not in known]

    @contextmanager
    def recorded(self, optimizer: Optimizer) -> Iterator[None]:
        """Remember the gradients with which operations learn in the block.

        Args:
            optimizer: Steps once in the block.
        """
        if not self.is_on:
            yield
            return

        def record(*args: Any) -> None:
            self._before = {
                name: [p.grad.detach().clone() for p in self._operations[name] if p.grad is not None]
                for name in self._operations
                if name not in self.stopped and all(p.grad is not None for p in self._operations[name])
            }

        handle = optimizer.register_step_pre_hook(record)
        try:
            yield
        finally:
            handle.remove()

    @torch.no_grad()
    def compare(self, gradients: Sequence[Tensor]) -> None:
        """Compare gradients with those that were recorded last, and judge operations whose count is full.

        Nothing was recorded before the first step of the network, and of operations that did not run in it.

        Args:
            gradients: Of the architecture's loss, one for each of `measured`.
        """
        rows = iter(gradients)
        found = {
            name: [next(rows) for _ in self._operations[name]]
            for name in self._operations
            if name not in self.stopped
        }
        full = []
        for name, before in self._before.items():
            after = found[name]
            if self._options.compare == "sum":
                after = [a + b for a, b in zip(after, before, strict=True)]
            value = mean_cosine(after, before)
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            if self._counts[name] == self._options.interval:
                full.append(name)
            else:
                self._counts[name] += 1
        self._before = {}
        self._stop_steady(full)

    def stop(self, names: Iterable[str]) -> None:
        """Stop operations; names of operations that do not exist are left out.

        Args:
            names: Their paths in the network.
        """
        for name in self._operations.keys() & set(names):
            self.stopped.add(name)
            for parameter in self._operations[name]:
                parameter.requires_grad_(False)
                parameter.grad = None

    def metrics(self) -> dict[str, float]:
        """Return ``stopped_operations``, the share of operations that have stopped, if any are measured."""
        return {"stopped_operations": len(self.stopped) / len(self._operations)} if self.is_on else {}

    def state_dict(self) -> dict[str, Any]:
        """Return measurements, recorded gradients and the operations that have stopped."""
        return {
            "before": {name: list(rows) for name, rows in self._before.items()},
            "sums": dict(self._sums),
            "counts": dict(self._counts),
            "stopped": sorted(self.stopped),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Args:
            state: The result of `state_dict` in an earlier process.
        """
        like = {name: parameters[0] for name, parameters in self._operations.items()}
        self._before = {
            name: [torch.empty_like(p).copy_(g) for p, g in zip(self._operations[name], rows, strict=True)]
            for name, rows in state["before"].items()
        }
        self._sums = {name: value.to(like[name].device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
        self.stop(state["stopped"])

    def _stop_steady(self, full: Sequence[str]) -> None:
        if not full:
            return
        # Fetched together: fetching each would make a GPU wait for every one.
        sums = torch.stack([self._sums.pop(name) for name in full]).tolist()
        threshold = self._options.threshold
        assert threshold is not None, "operations are measured for a threshold"
        self._counts |= dict.fromkeys(full, 0)
        self.stop([n for n, s in zip(full, sums, strict=True) if s / self._options.interval < threshold])


def _operations(space: NetworkSpace[Any], network: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    for path, module in network.named_modules():
        if not isinstance(module, ChoiceBlock) or module.choice.kind != "op":
            continue
        for option, operation in module.options.items():
            parameters = [p for p in operation.parameters() if p.requires_grad]
            if parameters and option not in space.parameter_free:
                yield f"{path}.options.{option}", parameters
