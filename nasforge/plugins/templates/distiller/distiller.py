"""The distiller: how far a student is from its teacher."""

from torch import Tensor
from torch.nn import functional as F

from nasforge.distiller import Distiller
from nasforge.nn import Output
from nasforge.plugins.templates.distiller.config import TemplateDistillerConfig

__all__ = ["TemplateDistiller"]


class TemplateDistiller(Distiller[TemplateDistillerConfig]):
    """Squared distance of logits and of attention maps (Zagoruyko and Komodakis, 2017, section 3.1).

    A distiller that trains parts of its own makes them in `bind`, which knows the channels of both networks.
    """

    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        """Return the scalar loss of a batch; the teacher learns nothing from it.

        Args:
            student: Logits ``(B, classes)`` and feature maps of the network that learns.
            teacher: Those of the network that teaches.
            target: Labels ``(B,)``.
        """
        loss = F.mse_loss(student.logits.float(), teacher.logits.detach().float())
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            distance = F.mse_loss(attention(ours), attention(theirs.detach()), reduction="sum") / len(ours)
            loss = loss + self.config.attention_weight * distance
        return loss


def attention(features: Tensor) -> Tensor:
    """Return where feature maps ``(B, C, H, W)`` are strong, as unit vectors ``(B, H * W)``."""
    return F.normalize(features.float().square().mean(1).flatten(1), dim=1)
