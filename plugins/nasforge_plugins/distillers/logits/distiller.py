"""Match the softened predictions of a teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nasforge.distiller import Distiller
from nasforge.nn import Output
from nasforge_plugins.distillers.logits.config import LogitsConfig

__all__ = ["LogitsDistiller"]


class LogitsDistiller(Distiller[LogitsConfig]):
    """Kullback-Leibler divergence between softened predictions, times T² (Hinton et al., 2015, section 2)."""

    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        """Return T² times the mean divergence per image; who trains weighs it against cross-entropy."""
        temperature = self.config.temperature
        goal = teacher.logits.detach() if self.config.detach_teacher else teacher.logits
        divergence = F.kl_div(
            F.log_softmax(student.logits.float() / temperature, dim=1),
            F.softmax(goal.float() / temperature, dim=1),
            reduction="batchmean",
        )
        return temperature**2 * divergence
