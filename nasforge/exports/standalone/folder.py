"""The format: a folder with code, weights, labels and a model card."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, cast

from safetensors.torch import save_file

from nasforge.exports.format import Call, Format
from nasforge.exports.program import record
from nasforge.exports.source import ExportSource
from nasforge.exports.standalone.card import PICTURE, write_card, write_picture
from nasforge.exports.standalone.code import write_model
from nasforge.exports.standalone.preprocessing import write_images, write_predict
from nasforge.files import write_text

__all__ = ["Standalone"]

ABOUT = """A network for images of {channels} x {side} x {side} and {classes} classes. It needs torch alone.

    model = load()
    logits = model(images)  # normalised float32, (N, {channels}, {side}, {side})

Found and written by nasforge: the modules below compute the recorded forward pass of the
trained network.
"""


class Standalone(Format):
    """``standalone/``: code, weights, labels, a script that names the classes of files, and a model card."""

    name = "standalone"
    file = "standalone"

    def write(self, source: ExportSource, path: Path) -> dict[str, Any]:
        """Write all files of the folder."""
        task = source.task
        about = ABOUT.format(channels=task.in_channels, side=task.image_size, classes=task.num_classes)
        code, weights = write_model(record(source), source.classifier, about)
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / "model.py", code)
        save_file(weights, path / "weights.safetensors", source.describe())
        write_text(path / "labels.txt", "\n".join(source.class_names) + "\n")
        if source.preprocessing is not None and source.preprocessing.channels != "other":
            write_text(path / "images.py", write_images(source.preprocessing))
            write_text(path / "predict.py", write_predict())
        if (picture := write_picture(source)) is not None:
            write_text(path / PICTURE, picture)
        size = (path / "weights.safetensors").stat().st_size
        write_text(path / "README.md", write_card(source, size))
        return {"lines": code.count("\n")}

    def open(self, path: Path) -> Call:
        """Import ``model.py`` under a name of its own, and load the weights."""
        place = path / "model.py"
        spec = importlib.util.spec_from_file_location(f"nasforge_standalone_{abs(hash(place))}", place)
        assert spec is not None, "a .py file can be imported"
        assert spec.loader is not None, "a .py file can be imported"
        module = importlib.util.module_from_spec(spec)
        before = sys.dont_write_bytecode
        sys.dont_write_bytecode = True  # no __pycache__ in a folder that is given to others
        try:
            spec.loader.exec_module(module)
        finally:
            sys.dont_write_bytecode = before
        return cast("Call", module.load())
