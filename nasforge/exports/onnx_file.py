"""ONNX files, with or without the normalisation of images inside."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nasforge.exports.format import Call, Format
from nasforge.exports.source import ExportSource
from nasforge.nn import Output

__all__ = ["MODULES", "Onnx", "OnnxUint8", "open_session", "write_onnx"]

MODULES = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT = "images", Output._fields[0]
"""Names of the input and of the output of a file."""


def write_onnx(
    module: nn.Module, example: Tensor, path: Path, about: Mapping[str, str], *, any_batch: bool = True
) -> int:
    """Write a module with one input and one output, check the file, and return its opset.

    Args:
        module: In evaluation mode.
        example: An input, of a batch of two or more if the file takes any.
        path: The file.
        about: Entries of the file's metadata.
        any_batch: Whether the file takes any batch size; else that of the example.

    Raises:
        onnx.checker.ValidationError: The file is not valid in its opset.
    """
    import onnx

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        torch.onnx.export(
            module,
            (example,),
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},) if any_batch else None,
        )
    model = onnx.load(path)
    for key, text in about.items():
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    return max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))


def open_session(path: Path, threads: int | None = None) -> Call:
    """Return a function that runs an ONNX file on the CPU with onnxruntime.

    Args:
        path: The file.
        threads: CPU threads; None: as many as torch uses.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run(None, {name: images.contiguous().numpy()})
        return torch.from_numpy(logits)

    return run


class Onnx(Format):
    """``network.onnx``: normalised images in, logits out, any batch size."""

    name = "onnx"
    file: ClassVar[str] = "network.onnx"
    modules = MODULES
    extra = "export"

    def write(self, source: ExportSource, path: Path) -> dict[str, Any]:
        """Write and check the file."""
        return {"opset": write_onnx(source.classifier, source.example(), path, source.describe())}

    def open(self, path: Path) -> Call:
        """Open it with onnxruntime."""
        return open_session(path)


class OnnxUint8(Format):
    """``network-uint8.onnx``: bytes of the network's size in, logits out; normalisation is inside."""

    name = "onnx-uint8"
    file = "network-uint8.onnx"
    modules = MODULES
    extra = "export"
    reads_pixels = True

    def write(self, source: ExportSource, path: Path) -> dict[str, Any]:
        """Write and check the file."""
        module = nn.Sequential(source.normalization, source.classifier).eval()
        example = source.normalization.inverse(source.example())
        return {"opset": write_onnx(module, example, path, source.describe())}

    def open(self, path: Path) -> Call:
        """Open it with onnxruntime."""
        return open_session(path)
