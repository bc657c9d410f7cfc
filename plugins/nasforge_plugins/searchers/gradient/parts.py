"""Parts that change how a search network learns: mutation and alignment of its cells, early stopping."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.errors import RunError
from nasforge.nn import ArchParameters, Network, OptionWeights, Output
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace, Task
from nasforge_plugins.searchers.gradient.alignment import Alignment, Loss
from nasforge_plugins.searchers.gradient.cells import Cells, Given
from nasforge_plugins.searchers.gradient.early_stopping import OperationStopping
from nasforge_plugins.searchers.gradient.mutation import EdgeMutation
from nasforge_plugins.searchers.gradient.options import SupernetOptions

__all__ = ["LearningParts"]


class LearningParts:
    """Mutation, alignment and early stopping of one search network; those that are off cost nothing.

    Args:
        config: The options of the search.
        space: The space that is searched.
        task: Sizes of images and output.
        runtime: Device and shards.
        network: The search network.
        alpha: The architecture parameters.

    Attributes:
        stopping: Measures operations, and stops some.

    Raises:
        RunError: The network has no cells to mutate or align, early stopping meets shards, or gradients are
            compared in fp16.
    """

    def __init__(
        self,
        config: SupernetOptions,
        space: NetworkSpace[Any],
        task: Task,
        runtime: Runtime,
        network: Network,
        alpha: ArchParameters,
    ) -> None:
        self._network, self._alpha = network, alpha
        mutates = max(config.mutation.probability) > 0
        aligns = config.alignment.strength > 0
        self._cells: Cells | None = None
        self._mutation: EdgeMutation | None = None
        self._alignment: Alignment | None = None
        if mutates or aligns:
            size = task.image_size
            probe = runtime.prepare_images(torch.zeros(2, task.in_channels, size, size))
            option = "mutation.probability" if mutates else "alignment.strength"
            self._cells = Cells(network, probe, option)
            self._mutation = EdgeMutation(config.mutation, space, self._cells, alpha) if mutates else None
            self._alignment = Alignment(config.alignment, self._cells) if aligns else None
        self.stopping = OperationStopping(config.early_stopping, space, network)
        if runtime.precision == "fp16" and (aligns or self.stopping.is_on):
            option = "alignment.strength" if aligns else "early_stopping.threshold"
            raise RunError(
                f"searcher.{option}: compares gradients of losses that are not scaled, of which fp16 rounds "
                "many to zero. Set run.precision to 'bf16' or 'fp32', or leave the option out."
            )
        if self.stopping.is_on and runtime.shards.count > 1:
            raise RunError(
                f"searcher.early_stopping.threshold: gradients are compared in one piece, and run.shards = "
                f"{runtime.shards.count} splits them. Set run.shards = 1, or leave the threshold out."
            )

    @property
    def are_on(self) -> bool:
        """Whether any part is in use."""
        return self._cells is not None or self.stopping.is_on

    @contextmanager
    def mutated(
        self, weights: OptionWeights, share: float, fixed: Collection[str]
    ) -> Iterator[Sequence[Given]]:
        """Run the network with mutated edges in the block, its backward pass included.

        Args:
            weights: Option weights of all cells.
            share: Share of the search that is over, 0 to 1.
            fixed: Choices that do not mutate.

        Yields:
            The weights of mutated edges, cell by cell.
        """
        given: Sequence[Given] = [{} for _ in self._cells.list] if self._cells is not None else []
        with ExitStack() as stack:
            if self._mutation is not None and self._cells is not None:
                given = self._mutation.draw(weights, share, fixed)
                stack.enter_context(self._cells.given(given))
            yield given

    def run(
        self, run: Loss, weights: OptionWeights, given: Sequence[Given], progress: float
    ) -> tuple[Output, Tensor, Tensor, dict[str, Tensor]]:
        """Run the network on a batch of the ``weights`` split.

        Args:
            run: Returns output and loss.
            weights: Option weights of all cells.
            given: What `mutated` yielded.
            progress: How far the search is, 0 in its first epoch, 1 in its last.

        Returns:
            Output; loss; what to descend; ``cell_agreement`` if cells are aligned, the mean cosine between
            their gradients.
        """
        if self._alignment is None:
            output, loss = run()
            return output, loss, loss, {}
        others = list(self._alpha.parameters())
        output, loss, value, aim = self._alignment.correct(
            run, self._network, others, weights, given, progress
        )
        return output, loss, aim, {"cell_agreement": value}

    @contextmanager
    def without_traces(self, unused: Sequence[nn.Parameter]) -> Iterator[None]:
        """Keep gradients of measured operations that an update does not train as they were.

        Args:
            unused: Parameters whose gradients the update does not need.
        """
        known = {id(p) for p in self.stopping.measured()}
        before = [(p, p.grad) for p in unused if id(p) in known]
        for parameter, _ in before:
            parameter.grad = None
        try:
            yield
        finally:
            for parameter, gradient in before:
                parameter.grad = gradient
