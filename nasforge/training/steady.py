"""Optimisers whose steps can be captured: every number that changes is a tensor on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

__all__ = ["SteadySGD"]


class SteadySGD(SGD):
    """SGD with the learning rate as a tensor, which `set_lr` fills.

    torch's own foreach step reads the rate as a number, which a captured step would keep for ever. Momentum
    and the order of operations are torch's; the rate is multiplied with the direction first, so that the last
    bit may differ. State dictionaries are those of `torch.optim.SGD`.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with a rate of their own."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        like: Tensor = group["params"][0]
        group["lr"] = torch.full((), float(group["lr"]), dtype=like.dtype, device=like.device)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make a step; gradients may be None.

        Args:
            closure: Not supported.
        """
        assert closure is None, "no step evaluates the loss again"
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            directions = [p.grad for p in parameters]
            if group["weight_decay"]:
                directions = list(torch._foreach_add(directions, parameters, alpha=group["weight_decay"]))
            if group["momentum"]:
                directions = self._gather_speed(group, parameters, directions)
            torch._foreach_sub_(parameters, torch._foreach_mul(directions, group["lr"]))

    def state_dict(self) -> dict[str, Any]:
        """Return the state with rates as numbers."""
        state = super().state_dict()
        groups = [{**group, "lr": float(group["lr"])} for group in state["param_groups"]]
        return {**state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; the tensors of rates stay where they are."""
        rates = [group["lr"] for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate.fill_(float(group["lr"]))

    def _gather_speed(
        self, group: dict[str, Any], parameters: list[Tensor], directions: list[Tensor]
    ) -> list[Tensor]:
        """Update the momentum of parameters, and return the directions that follow from it."""
        moving = [
            (p, d) for p, d in zip(parameters, directions, strict=True) if "momentum_buffer" in self.state[p]
        ]
        buffers = [self.state[p]["momentum_buffer"] for p, _ in moving]
        if buffers:
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, [d for _, d in moving], alpha=1.0 - group["dampening"])
        for parameter, direction in zip(parameters, directions, strict=True):
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = direction.detach().clone()
        buffers = [self.state[p]["momentum_buffer"] for p in parameters]
        if group["nesterov"]:
            return list(torch._foreach_add(directions, buffers, alpha=group["momentum"]))
        return buffers
