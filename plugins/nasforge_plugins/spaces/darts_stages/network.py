"""The network of the DARTS space with other cells in each stage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.nn import ChoiceBlock, EdgeSum, OptionWeights, Output
from nasforge.space import Scale, Task
from nasforge_plugins.spaces.darts.cell import DartsCell
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.network import DartsNetwork
from nasforge_plugins.spaces.darts_stages.stage_names import STAGES, of_stage, stage_name

__all__ = ["StagedNetwork"]


class StagedNetwork(DartsNetwork):
    """A network of the `darts` space whose stages answer their own choices.

    Args:
        config: The options of the space.
        choices: The choices of the `darts` space.
        task: Input and output sizes.
        archs: An architecture of the `darts` space for each stage; None makes the supernet.
        scale: Which of the three networks.
    """

    def __init__(
        self,
        config: DartsConfig,
        choices: Sequence[Choice],
        task: Task,
        archs: Sequence[Arch] | None,
        scale: Scale,
    ) -> None:
        super().__init__(config, choices, task, None if archs is None else archs[0], scale)
        first, second, _ = self.taps
        self.stages = [0 if i <= first else 1 if i <= second else 2 for i in range(len(self.cells))]
        for stage in STAGES[1:]:
            if archs is not None:
                other = DartsNetwork(config, choices, task, archs[stage], scale)
                for index, cell in enumerate(other.cells):
                    if self.stages[index] == stage:
                        self.cells[index] = cell
        for stage, cell in zip(self.stages, self.cells, strict=True):
            _rename(cell, stage)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images; see `Network.forward`."""
        # The faster ways look weights up by the names of the `darts` space, modules by their own.
        given = [None if weights is None else {**weights, **of_stage(weights, s)} for s in STAGES]
        ways = [self._executor(x, each) for each in given]
        enter = ways[0][1]
        first, second = self.stem(x)
        before = enter(first)
        previous = before if second is first else enter(second)
        outputs: list[Tensor] = []
        for stage, module in zip(self.stages, self.cells, strict=True):
            if outputs:
                before, previous = previous, enter(outputs[-1])
            run = partial(ways[stage][0], cast("DartsCell", module))
            outputs.append(self.run_block(module, run, before, previous))
        logits = self.classifier(outputs[-1].mean((2, 3)))
        return Output(logits, tuple(outputs[tap] for tap in self.taps))


def _rename(cell: nn.Module, stage: int) -> None:
    for module in cell.modules():
        if isinstance(module, ChoiceBlock | EdgeSum):
            choice = module.choice
            module.choice = Choice(
                stage_name(stage, choice.name), choice.options, k=choice.k, kind=choice.kind
            )
