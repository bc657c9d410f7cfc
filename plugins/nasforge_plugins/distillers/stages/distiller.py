"""Match two networks at several depths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasforge.distiller import Distiller
from nasforge.errors import RecipeError
from nasforge.nn import FeatureInfo, Output
from nasforge.space import Task
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.head import EmbeddingHead
from nasforge_plugins.distillers.stages.losses import distance

__all__ = ["StagesDistiller"]


class StagesDistiller(Distiller[StagesConfig]):
    """Introspective distillation of CDARTS: every depth of the student meets that of the teacher.

    A head on each tapped feature makes logits; with the network's own they are weighted by a softmax over
    depths that both networks share. A head serves both networks where their features have the same shape.

    Attributes:
        ensemble: One number per depth; their softmax weighs the depths.
    """

    ensemble: Tensor

    def bind(self, student: tuple[FeatureInfo, ...], teacher: tuple[FeatureInfo, ...], task: Task) -> None:
        """Build the heads; see `Distiller.bind`.

        Raises:
            RecipeError: ``taps`` or ``pool_sizes`` do not fit the features.
        """
        self._taps = self._resolve_taps(min(len(student), len(teacher)))
        pools = self.config.pool_sizes or (None,) * len(self._taps)
        self.student_heads, self.teacher_heads = nn.ModuleList(), nn.ModuleList()
        for tap, pool in zip(self._taps, pools, strict=True):
            mine = _head(student[tap], task, pool)
            self.student_heads.append(mine)
            self.teacher_heads.append(
                mine if student[tap] == teacher[tap] else _head(teacher[tap], task, pool)
            )
        if self.config.freeze_heads:
            self.student_heads.requires_grad_(False)
            self.teacher_heads.requires_grad_(False)
        depths = len(self._taps) + 1
        if self.config.learn_ensemble:
            self.ensemble = nn.Parameter(0.333 * torch.rand(depths))
        else:
            self.register_buffer("ensemble", torch.zeros(depths))

    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        """Return the distance between both ensembles; see `Distiller.forward`."""
        config = self.config
        own = self.embed(student, self.student_heads)
        goal = self.embed(teacher, self.teacher_heads)
        if config.detach_teacher:
            goal = goal.detach()
        return distance(config.loss, own, goal, config.temperature, config.reduction)

    def classify(self, teacher: Output) -> Tensor | None:
        """Return what the deepest head makes of the teacher; see `Distiller.classify`."""
        if not self._taps:
            return None
        return self.teacher_heads[-1](teacher.features[self._taps[-1]]).float()

    def embed(self, output: Output, heads: nn.ModuleList) -> Tensor:
        """Return the weighted logits of all depths in float32.

        Args:
            output: Output of one of the networks.
            heads: ``student_heads`` or ``teacher_heads``.

        Returns:
            Shape ``(depths · B, classes)``, shallow depths first, or ``(B, classes)`` for the sum.
        """
        made = [head(output.features[tap]) for tap, head in zip(self._taps, heads, strict=True)]
        shares = self.ensemble.softmax(0)
        weighted = [
            share * logits.float() for share, logits in zip(shares, [*made, output.logits], strict=True)
        ]
        return torch.cat(weighted) if self.config.combine == "concat" else torch.stack(weighted).sum(0)

    def _resolve_taps(self, features: int) -> tuple[int, ...]:
        taps = tuple(range(features - 1)) if self.config.taps is None else self.config.taps
        problems = []
        if outside := [tap for tap in taps if tap >= features]:
            problems.append(
                f"distiller.taps: {outside} do not exist, the networks have {features} features. "
                f"Write numbers from 0 to {features - 1}."
            )
        pools = self.config.pool_sizes
        if pools is not None and len(pools) != len(taps):
            problems.append(
                f"distiller.pool_sizes: {list(pools)} are {len(pools)} sizes for {len(taps)} heads. "
                "Write one per head."
            )
        if problems:
            raise RecipeError("distiller 'stages'", problems)
        return taps


def _head(feature: FeatureInfo, task: Task, pool: int | None) -> EmbeddingHead:
    return EmbeddingHead(feature.channels, max(1, task.image_size // feature.stride), task.num_classes, pool)
