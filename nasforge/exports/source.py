"""The network that is exported, with everything that its files say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.drawing import Graph
from nasforge.errors import RunError
from nasforge.images import Preprocessing
from nasforge.nn import Network
from nasforge.space import Task

__all__ = ["Classifier", "ExportSource", "Normalization", "Samples"]


class Classifier(nn.Module):
    """A network that returns its logits alone.

    Args:
        network: Returns an `Output`.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(B, classes)`` of normalised images ``(B, C, S, S)``."""
        return self.network(images).logits


class Normalization(nn.Module):
    """`Preprocessing.apply` as a module.

    Args:
        preprocessing: Its mean and deviation are used.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        pairs = list(zip(preprocessing.mean, preprocessing.deviation, strict=True))
        self.register_buffer("scale", torch.tensor([1 / (255 * s) for _, s in pairs]).view(1, -1, 1, 1))
        self.register_buffer("shift", torch.tensor([-m / s for m, s in pairs]).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise uint8 images ``(B, C, H, W)`` to float32 ones."""
        return pixels.float() * self.scale + self.shift

    def inverse(self, images: Tensor) -> Tensor:
        """Return the uint8 images that normalised images ``(B, C, H, W)`` were made from."""
        return ((images - self.shift) / self.scale).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Samples:
    """Real images, as the network reads them.

    Attributes:
        images: Normalised, ``(N, C, S, S)``.
        labels: int64 ``(N,)``.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ExportSource:
    """The network that is exported.

    Attributes:
        network: In evaluation mode, on the CPU.
        task: Input and output sizes.
        samples: Images that files are compared on.
        calibration: Images that set the ranges of quantised numbers.
        class_names: By label.
        preprocessing: From an image file to a normalised image; None if images do not come from files.
        about: JSON data for the model card: ``name``, ``notation``, ``params``, ``macs``, ``accuracy``, …
        graphs: Drawings of the architecture.
        recipe: The recipe as its author wrote it.
        batch_size: Images per call when throughput is measured.
    """

    network: Network
    task: Task
    samples: Samples
    calibration: Samples
    class_names: tuple[str, ...]
    preprocessing: Preprocessing | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    graphs: tuple[Graph, ...] = ()
    recipe: str = ""
    batch_size: int = 32

    @cached_property
    def classifier(self) -> nn.Module:
        """The network as a module that returns logits."""
        return Classifier(self.network).eval()

    @cached_property
    def pixels(self) -> Tensor:
        """The images that files are compared on, as uint8 ``(N, C, S, S)``.

        Raises:
            RunError: The images do not come from bytes.
        """
        return self.normalization.inverse(self.samples.images)

    @cached_property
    def normalization(self) -> Normalization:
        """The module that normalises bytes.

        Raises:
            RunError: The images do not come from bytes.
        """
        if self.preprocessing is None:
            raise RunError(
                "preprocessing: the data of this run describes none, so it cannot be part of a file. Choose "
                'a format without it, such as "onnx", or add `preprocessing` to the data module.'
            )
        return Normalization(self.preprocessing)

    def example(self, batch: int = 2) -> Tensor:
        """Return normalised images ``(batch, C, S, S)`` to record a forward pass with."""
        images = self.samples.images
        return images[torch.arange(batch) % len(images)].contiguous()

    def describe(self) -> dict[str, str]:
        """Return the metadata of a file as texts: class names and preprocessing are JSON."""
        import json

        known = self.preprocessing
        return {
            "class_names": json.dumps(list(self.class_names)),
            "preprocessing": json.dumps(known.to_json() if known else None),
            "architecture": str(self.about.get("notation", "")),
        }
