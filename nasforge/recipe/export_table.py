"""The ``[export]`` table of a recipe: the files that the trained network is written to."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveInt

from nasforge.config import PluginConfig
from nasforge.errors import RunError, suggest

__all__ = ["FORMATS", "ExportConfig", "FormatName", "check_format"]

FormatName = Literal["pt2", "onnx", "onnx-uint8", "onnx-int8", "executorch", "standalone"]

FORMATS: tuple[FormatName, ...] = get_args(FormatName)
"""Names of the formats; `nasforge.exports.FORMATS` has what writes them."""


class ExportConfig(PluginConfig):
    """Options of the ``[export]`` table: files of the trained network that work without nasforge."""

    formats: tuple[FormatName, ...] = Field(default=("pt2", "standalone"), min_length=1)
    """Files to write: "pt2" (torch.export), "onnx" (normalised images in), "onnx-uint8" (bytes in,
    normalisation inside), "onnx-int8" (quantised), "executorch" (.pte for phones and boards), "standalone"
    (a folder with a readable model.py). The onnx formats need nasforge[export]."""

    images: NonNegativeInt = 1000
    """How many test images each file is compared on, spread evenly over all of them; 0 takes all."""

    calibration_images: PositiveInt = 200
    """How many images of the split "select" set the ranges of "onnx-int8"; of "weights" if there is none."""

    batch_size: PositiveInt = 32
    """Images per call when throughput is measured, and when files are compared."""


def check_format(name: str) -> FormatName:
    """Return the name of a format.

    Args:
        name: As a user wrote it.

    Raises:
        RunError: There is no such format.
    """
    for known in FORMATS:
        if name == known:
            return known
    raise RunError(f"--format {name}: there is no such format.{suggest(name, FORMATS)}")
