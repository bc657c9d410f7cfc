"""How one network teaches another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic

from torch import Tensor, nn

from nasforge.component import C
from nasforge.nn.output import FeatureInfo, Output
from nasforge.space import Task

__all__ = ["Distiller"]


class Distiller(nn.Module, Generic[C], ABC):
    """A loss between two networks' outputs; a module, because it may own trained heads.

    It sees two `Output`s and no network, so it serves mutual learning inside a search, a frozen teacher, and
    plain knowledge distillation alike. Its trainable parameters join the optimiser of the
    searcher or trainer.

    Args:
        config: The options, already validated.
    """

    def __init__(self, config: C) -> None:
        super().__init__()
        self.config = config

    def bind(self, student: tuple[FeatureInfo, ...], teacher: tuple[FeatureInfo, ...], task: Task) -> None:
        """Build the modules the loss needs. Called once, before the first `forward`.

        Args:
            student: The student's feature maps, shallow to deep.
            teacher: The teacher's.
            task: Input and output sizes.
        """

    @abstractmethod
    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        """Return the scalar loss; detach the teacher here if it must not learn.

        Args:
            student: Output of the student for a batch.
            teacher: Output of the teacher for the same batch.
            target: Labels, ``(B,)``.
        """

    def classify(self, teacher: Output) -> Tensor | None:
        """Return logits of the teacher's deepest inner feature, for a second loss on it. Default: None.

        Args:
            teacher: Output of the teacher for a batch.

        Returns:
            Shape ``(B, classes)``; None without a head on an inner feature.
        """
        return None
