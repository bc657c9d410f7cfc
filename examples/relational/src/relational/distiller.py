"""The distiller: how far a student's picture of a batch is from its teacher's."""

from nasforge.distiller import Distiller
from nasforge.nn import Output
from torch import Tensor
from torch.nn import functional as F

from relational.config import RelationalDistillerConfig

__all__ = ["RelationalDistiller", "angles", "distances"]

TINY = 1e-12
"""Keeps roots and divisions away from zero, where images coincide."""


class RelationalDistiller(Distiller[RelationalDistillerConfig]):
    """Relational knowledge distillation (Park et al., CVPR 2019, sections 3.2.1 and 3.2.2).

    A network maps every image to a point: its deepest feature map, averaged over the image. The loss compares
    how the points lie to each other, not where they are. So the two networks need neither the same number of
    channels nor translators between them.
    """

    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        """Return the scalar loss of a batch.

        Args:
            student: Logits ``(B, classes)`` and feature maps of the network that learns; without feature maps
                the logits are the points.
            teacher: Those of the network that teaches.
            target: Labels ``(B,)``; relations need none.
        """
        config = self.config
        ours, theirs = points(student), points(teacher)
        goal = teacher.logits.float()
        if config.detach_teacher:
            theirs, goal = theirs.detach(), goal.detach()
        loss = ours.sum() * 0.0
        if config.distance_weight:
            loss = loss + config.distance_weight * F.smooth_l1_loss(distances(ours), distances(theirs))
        if config.angle_weight:
            few = config.angle_images
            compared = F.smooth_l1_loss(angles(ours[:few]), angles(theirs[:few]))
            loss = loss + config.angle_weight * compared
        if config.logits_weight:
            loss = loss + config.logits_weight * F.mse_loss(student.logits.float(), goal)
        return loss


def points(output: Output) -> Tensor:
    """Return one point per image ``(B, D)``, in float32."""
    return output.features[-1].float().mean((2, 3)) if output.features else output.logits.float()


def distances(x: Tensor) -> Tensor:
    """Return the distances of all pairs in units of their mean (equation 6).

    Args:
        x: Points ``(B, D)``.

    Returns:
        ``(B, B)``, zero on the diagonal.
    """
    squares = (x[:, None] - x[None]).square().sum(2)
    # The root has no gradient at zero, and a point is at zero distance from itself.
    apart = (squares + TINY).sqrt() * (squares > 0)
    count = (apart > 0).sum().clamp(min=1)
    return apart / (apart.sum() / count + TINY)


def angles(x: Tensor) -> Tensor:
    """Return the cosine of the angle at the middle point of all triplets (equation 8).

    Args:
        x: Points ``(B, D)``.

    Returns:
        ``(B, B, B)``: the middle point first; zero where it is one of the other two.
    """
    differences = x[None] - x[:, None]
    directions = differences / (differences.square().sum(2, keepdim=True) + TINY).sqrt()
    return directions @ directions.transpose(1, 2)
