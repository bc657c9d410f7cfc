"""ONNX files in 8-bit integers: static quantisation after training, by onnxruntime."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nasforge.exports.format import Call, Format
from nasforge.exports.onnx_file import INPUT, MODULES, open_session, write_onnx
from nasforge.exports.source import ExportSource

__all__ = ["OnnxInt8"]


class OnnxInt8(Format):
    """``network-int8.onnx``: weights per channel and activations in 8 bits, with ranges from real images."""

    name = "onnx-int8"
    file = "network-int8.onnx"
    modules = MODULES
    extra = "export"
    exact = False

    def write(self, source: ExportSource, path: Path) -> dict[str, Any]:
        """Write the float file, fold its norms, and quantise it with the calibration images."""
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        batches = iter(source.calibration.images.split(source.batch_size))

        class Images(CalibrationDataReader):  # type: ignore[misc] # it has no types
            def get_next(self) -> dict[str, Any] | None:
                batch = next(batches, None)
                return None if batch is None else {INPUT: batch.contiguous().numpy()}

            def __iter__(self) -> Iterator[dict[str, Any]]:
                return iter(self.get_next, None)

        with tempfile.TemporaryDirectory() as place:
            exact, folded = Path(place) / "float.onnx", Path(place) / "folded.onnx"
            opset = write_onnx(source.classifier, source.example(), exact, source.describe())
            level = logging.root.manager.disable
            logging.disable(logging.WARNING)  # advice to do what was just done
            try:
                quant_pre_process(str(exact), str(folded), skip_symbolic_shape=True)
                quantize_static(
                    str(folded),
                    str(path),
                    Images(),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
            finally:
                logging.disable(level)
        return {"opset": opset, "calibration_images": len(source.calibration)}

    def open(self, path: Path) -> Call:
        """Open it with onnxruntime."""
        return open_session(path)
