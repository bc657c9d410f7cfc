"""Programs for ExecuTorch: phones, boards and other devices without Python."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasforge.exports.format import Call, Format
from nasforge.exports.program import record
from nasforge.exports.source import ExportSource

__all__ = ["ExecuTorch"]


class ExecuTorch(Format):
    """``network.pte``: one image at a time, with the operators that XNNPACK has handed over to it."""

    name = "executorch"
    file = "network.pte"
    modules = ("executorch",)
    extra = "executorch"

    def write(self, source: ExportSource, path: Path) -> dict[str, Any]:
        """Record the network for one image, lower it to XNNPACK, and write the program."""
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            lowered = to_edge_transform_and_lower(record(source, 1), partitioner=[XnnpackPartitioner()])
            path.write_bytes(lowered.to_executorch().buffer)
        finally:
            logging.disable(level)
        return {"batch": 1, "backend": "xnnpack"}

    def open(self, path: Path) -> Call:
        """Open it with the runtime that its package brings."""
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(path)
        # A method does not keep its program alive, so it is loaded from one that the call holds.
        return partial(_execute, program, program.load_method("forward"))


def _execute(_program: Any, method: Any, images: Tensor) -> Tensor:
    # The runtime reuses the memory of its output.
    return torch.cat([method.execute([image[None].contiguous()])[0].clone() for image in images])
