"""The formats there are."""

from __future__ import annotations

from nasforge.exports.executorch_file import ExecuTorch
from nasforge.exports.format import Format
from nasforge.exports.onnx_file import Onnx, OnnxUint8
from nasforge.exports.program import Program
from nasforge.exports.quantized import OnnxInt8
from nasforge.exports.standalone.folder import Standalone
from nasforge.recipe.export_table import FormatName

__all__ = ["FORMATS"]

FORMATS: dict[FormatName, Format] = {
    kind.name: kind for kind in (Program(), Onnx(), OnnxUint8(), OnnxInt8(), ExecuTorch(), Standalone())
}
