"""Four ways to compare two sets of logits, each multiplied by the temperature squared."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

__all__ = ["distance"]


def distance(
    kind: Literal["smooth_l1", "kl", "mse", "cosine"],
    student: Tensor,
    teacher: Tensor,
    temperature: float = 2.0,
    reduction: Literal["mean", "batchmean"] = "mean",
) -> Tensor:
    """Return how far the student is from the teacher, differentiable in both.

    The factor T² keeps gradients of softened predictions at the size of the others (Hinton et al., 2015,
    section 2.1); CDARTS applies it to every kind, softened or not.

    Args:
        kind: ``"kl"`` compares softmax(logits / T); ``"smooth_l1"`` and ``"mse"`` raw logits; ``"cosine"`` is
            minus the mean cosine along the classes.
        student: Logits, ``(rows, classes)``.
        teacher: Logits, ``(rows, classes)``.
        temperature: T.
        reduction: For ``"kl"``: the mean over all numbers, or the sum over classes and the mean over rows.
    """
    if kind == "kl":
        log_p = F.log_softmax(student / temperature, dim=1)
        terms = F.kl_div(log_p, F.softmax(teacher / temperature, dim=1), reduction="none")
        # Averaged here, because torch announces that its own "mean" will become "batchmean".
        value = terms.mean() if reduction == "mean" else terms.sum() / len(terms)
    elif kind == "smooth_l1":
        value = F.smooth_l1_loss(student, teacher)
    elif kind == "mse":
        value = F.mse_loss(student, teacher)
    else:
        value = -F.cosine_similarity(student, teacher, dim=1, eps=1e-6).mean()  # eps as in CDARTS
    return value * temperature**2
