"""Predictions of the trained network on the test images: confusions, and the worst images as thumbnails."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.images.preprocessing import Preprocessing
from nasforge.runtime import Runtime

__all__ = ["describe_predictions"]

WORST = 24
"""Number of thumbnails."""

SIDE = 96
"""Longest side of a thumbnail, in pixels; smaller images stay as they are."""


class _Mistake(NamedTuple):
    loss: float
    place: int
    label: int
    predicted: int
    probability: float
    image: Tensor


@torch.no_grad()
def describe_predictions(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    runtime: Runtime,
    preprocessing: Preprocessing | None = None,
) -> dict[str, Any]:
    """Return what a network gets wrong, as JSON data.

    Args:
        network: Returns an `Output`; in `eval` mode.
        batches: Normalised images ``(B, C, S, S)`` and labels ``(B,)`` in stored order.
        runtime: Where and how the network computes.
        preprocessing: Its normalisation is undone in thumbnails; None: the range of each channel over all
            images is taken for that of bytes.

    Returns:
        ``images``, their number; ``confusion``, rows of label, prediction and count, without zeros; and
        ``worst``, the wrong predictions of highest cross-entropy, with ``index``, ``label``, ``predicted``,
        ``probability`` (of the prediction, from 0 to 1), ``loss`` and ``image``, a data URI.
    """
    counts: dict[tuple[int, int], int] = {}
    worst: list[_Mistake] = []
    low = high = torch.empty(0)
    seen = 0
    for images, labels in batches:
        with runtime.autocast():
            logits = network(runtime.prepare_images(images)).logits
        losses = F.cross_entropy(logits.float(), labels, reduction="none").cpu()
        shares, predicted = (values.cpu() for values in logits.float().softmax(1).max(1))
        truth = labels.cpu()
        for pair in zip(truth.tolist(), predicted.tolist(), strict=True):
            counts[pair] = counts.get(pair, 0) + 1
        for at in (predicted != truth).nonzero().flatten().tolist():
            found = (float(losses[at]), seen + at, int(truth[at]), int(predicted[at]), float(shares[at]))
            worst.append(_Mistake(*found, images[at].float().cpu()))
        worst = sorted(worst, key=lambda mistake: (-mistake.loss, mistake.place))[:WORST]
        least, most = (values.float().cpu() for values in (images.amin((0, 2, 3)), images.amax((0, 2, 3))))
        low = torch.minimum(low, least) if seen else least
        high = torch.maximum(high, most) if seen else most
        seen += len(truth)
    if preprocessing is not None:
        mean, deviation = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.deviation)
        low, high = -mean / deviation, (1 - mean) / deviation
    return {
        "images": seen,
        "confusion": [[*pair, count] for pair, count in sorted(counts.items())],
        "worst": [_described(mistake, low, high) for mistake in worst],
    }


def _described(mistake: _Mistake, low: Tensor, high: Tensor) -> dict[str, Any]:
    return {
        "index": mistake.place,
        "label": mistake.label,
        "predicted": mistake.predicted,
        "probability": mistake.probability,
        "loss": mistake.loss,
        "image": _thumbnail(mistake.image, low, high),
    }


def _thumbnail(image: Tensor, low: Tensor, high: Tensor) -> str:
    """Return an image as a data URI.

    Args:
        image: ``(C, H, W)``.
        low: The value of each channel that is shown as black, ``(C,)``.
        high: The value that is shown as full colour, ``(C,)``.
    """
    span = (high - low).clamp_min(1e-6)
    pixels = (255 * (image - low[:, None, None]) / span[:, None, None]).clamp(0, 255).byte()
    array = pixels.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[..., :3] if array.shape[2] >= 3 else array[..., 0])
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    # Photos are smaller as JPEG; a tiny picture would be spoilt by it.
    form = "PNG" if max(picture.size) <= SIDE // 2 else "JPEG"
    picture.save(content, form, quality=80)
    return f"data:image/{form.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
