"""Cells of a supernet, each of which can run under option weights of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.errors import RunError
from nasforge.nn import ChoiceBlock, EdgeSum, Network
from nasforge.training.loops import isolated_random
from nasforge_plugins.searchers.gradient.bilevel import restoring

__all__ = ["Cell", "Cells", "Given"]

Given = Mapping[str, Tensor | int]
"""Option weights of one cell, by choice name; others it takes from the network's."""


class Cell:
    """A part of a network in which every choice stands once, and that is called with option weights.

    Attributes:
        module: Its module.
        names: The choices of operations in it.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._blocks = [m for m in module.modules() if isinstance(m, ChoiceBlock) and m.choice.kind == "op"]
        self.names = tuple(block.choice.name for block in self._blocks)
        self._signature = signature(module.forward)

    def operations(self) -> Iterator[tuple[str, str, nn.Module]]:
        """Yield choice, option and module of the operations that have parameters."""
        for block in self._blocks:
            for option, module in block.options.items():
                if next(module.parameters(), None) is not None:
                    yield block.choice.name, option, module

    def give(self, given: Given, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Put the weights of this cell into the arguments of its forward pass; a forward pre-hook."""
        bound = self._signature.bind(*args, **kwargs)
        bound.arguments["weights"] = {**(bound.arguments.get("weights") or {}), **given}
        return bound.args, bound.kwargs


class Cells:
    """Finds the cells of a network: the largest modules called with ``weights`` that have each choice once.

    Ways of computing that pass the modules of cells by are switched off while cells have weights of their
    own; see `nasforge.nn.Network.plain`.

    Args:
        network: A supernet.
        probe: Two images ``(2, C, S, S)``, of any content.
        option: The option that needs cells, for the message.

    Raises:
        RunError: The network does not call its cells as modules with an argument ``weights``.
    """

    def __init__(self, network: Network, probe: Tensor, option: str) -> None:
        self._network = network
        self.list = [Cell(module) for module in _find(network)]
        self._plain = network.plain
        if not self._are_called(probe):
            self._plain = True
            if not self._are_called(probe):
                raise RunError(
                    f"searcher.{option}: {type(network).__name__} does not call its cells as modules with an "
                    "argument `weights`. Switch the option off, or choose another space."
                )

    def kinds(self) -> list[list[int]]:
        """Return the positions of cells with the same choices, kind by kind."""
        found: dict[frozenset[str], list[int]] = {}
        for position, cell in enumerate(self.list):
            found.setdefault(frozenset(cell.names), []).append(position)
        return list(found.values())

    @contextmanager
    def given(self, weights: Sequence[Given]) -> Iterator[None]:
        """Run the network under weights that differ from cell to cell; includes its recomputation.

        Args:
            weights: One mapping for each cell; an empty one changes nothing.
        """
        hooks: list[Callable[..., Any]] = [
            partial(cell.give, given) for cell, given in zip(self.list, weights, strict=True)
        ]
        with self._hooked(hooks):
            yield

    @contextmanager
    def _hooked(self, hooks: Sequence[Callable[..., Any]]) -> Iterator[None]:
        before, self._network.plain = self._network.plain, self._plain
        with ExitStack() as stack:
            for cell, hook in zip(self.list, hooks, strict=True):
                stack.enter_context(cell.module.register_forward_pre_hook(hook, with_kwargs=True))
            try:
                yield
            finally:
                self._network.plain = before

    @torch.no_grad()
    def _are_called(self, probe: Tensor) -> bool:
        seen: set[nn.Module] = set()

        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            seen.add(module)

        with (
            isolated_random(probe.device, 0),
            restoring(self._network),
            self._hooked([note for _ in self.list]),
        ):
            self._network(probe)
        return bool(self.list) and seen == {cell.module for cell in self.list}


def _find(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        names = Counter(m.choice.name for m in child.modules() if isinstance(m, (ChoiceBlock, EdgeSum)))
        if not names:
            continue
        if max(names.values()) == 1 and "weights" in signature(child.forward).parameters:
            yield child
        else:
            yield from _find(child)
