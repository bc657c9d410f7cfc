"""Every format computes what its network computes, says so, and says why where it cannot."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from nasforge.exports.catalogue import FORMATS
from nasforge.exports.comparison import agreement
from nasforge.exports.format import Format
from nasforge.exports.onnx_file import open_session
from nasforge.exports.writing import write_formats
from nasforge.nn import Output
from nasforge.recipe.export_table import FORMATS as NAMES
from support.export_sources import PREPROCESSING, source_of

TOLERANCE = 1e-5

needs_onnx = pytest.mark.skipif(find_spec("onnxscript") is None, reason="nasforge[export] is not installed")
needs_executorch = pytest.mark.skipif(find_spec("executorch") is None, reason="ExecuTorch is not installed")


def test_every_name_has_a_format():
    assert tuple(FORMATS) == NAMES
    assert len({kind.file for kind in FORMATS.values()}) == len(NAMES)


def test_a_program_of_torch(tmp_path):
    source = source_of("nasbench201")
    written = write_formats(source, tmp_path, ["pt2"])
    found = written.formats["pt2"]
    assert found["max_difference"] <= TOLERANCE
    assert (found["same_top1"], found["accuracy"], found["images"]) == (1.0, 100.0, 40)
    assert found["bytes"] == (tmp_path / "network.pt2").stat().st_size
    assert found["latency_ms"] > 0
    assert found["throughput"] > 0
    assert written.source["accuracy"] == 100.0
    extra = {"class_names": "", "preprocessing": ""}
    program = torch.export.load(tmp_path / "network.pt2", extra_files=extra)
    assert program.module()(source.samples.images[:7]).shape == (7, 4)
    assert json.loads(extra["class_names"]) == ["cat", "dog", "fox", "owl"]
    assert json.loads(extra["preprocessing"]) == PREPROCESSING.to_json()


@needs_onnx
def test_onnx_with_and_without_preprocessing_and_in_8_bits(tmp_path):
    import onnx

    source = source_of("chain")
    written = write_formats(source, tmp_path, ["onnx", "onnx-uint8", "onnx-int8"])
    floats, pixels, small = (written.formats[name] for name in ("onnx", "onnx-uint8", "onnx-int8"))
    for found in (floats, pixels):
        assert found["max_difference"] <= TOLERANCE
        assert found["same_top1"] == 1.0
        model = onnx.load(tmp_path / found["file"])
        onnx.checker.check_model(model, full_check=True)
        assert found["opset"] == next(o.version for o in model.opset_import if o.domain == "")
        about = {entry.key: entry.value for entry in model.metadata_props}
        assert json.loads(about["preprocessing"]) == PREPROCESSING.to_json()
    run = open_session(tmp_path / "network-uint8.onnx")
    assert run(source.pixels[:5]).shape == (5, 4)
    assert small["calibration_images"] == 40
    assert small["max_difference"] > 0
    assert small["source_accuracy"] == 100.0
    integers = onnx.load(tmp_path / small["file"])
    assert any(node.op_type == "QuantizeLinear" for node in integers.graph.node)
    assert {i.data_type for i in integers.graph.initializer} & {onnx.TensorProto.INT8}


@needs_executorch
@pytest.mark.slow
def test_executorch(tmp_path):
    found = write_formats(source_of("chain"), tmp_path, ["executorch"]).formats["executorch"]
    assert found["max_difference"] <= TOLERANCE
    assert (found["batch"], found["backend"]) == (1, "xnnpack")


class Stubborn(nn.Module):
    """A network whose forward pass depends on the numbers in its images, which no program can record."""

    def forward(self, images):
        logits = images.mean((2, 3)) @ torch.ones(3, 4)
        return Output(logits + float(images.sum()) * 0)


def test_a_format_that_fails_says_why_and_leaves_the_others_alone(tmp_path, monkeypatch):
    class Broken(Format):
        name, file = "onnx", "broken"

        def write(self, source, path):
            path.write_text("half")
            raise ValueError("no such operator\nand much more")

        def open(self, path):
            raise AssertionError("never written")

    monkeypatch.setitem(FORMATS, "onnx", Broken())
    written = write_formats(source_of("nasbench201"), tmp_path, ["onnx", "pt2"])
    assert written.formats["onnx"] == {"failed": "ValueError: no such operator"}
    assert not (tmp_path / "broken").exists()
    assert not {"failed", "rejected"} & set(written.formats["pt2"])


def test_a_network_that_cannot_be_recorded(tmp_path):
    written = write_formats(source_of("", network=Stubborn()), tmp_path, ["pt2"])
    assert written.formats["pt2"]["failed"].startswith(("GuardOnDataDependentSymNode", "UserError", "Unsup"))


def test_a_missing_library_names_the_pip_line(tmp_path, monkeypatch):
    monkeypatch.setattr("nasforge.exports.format.find_spec", lambda name: None)
    written = write_formats(source_of("nasbench201"), tmp_path, ["onnx"])
    assert written.formats["onnx"]["failed"] == (
        "needs onnx, onnxscript, onnxruntime. Run: pip install 'nasforge[export]'"
    )


def test_a_file_that_disagrees_is_kept_aside(tmp_path, monkeypatch):
    program = FORMATS["pt2"]

    class Wrong(type(program)):
        def open(self, path):
            call = super().open(path)
            return lambda images: call(images) + 0.01

    monkeypatch.setitem(FORMATS, "pt2", Wrong())
    written = write_formats(source_of("nasbench201"), tmp_path, ["pt2"])
    found = written.formats["pt2"]
    assert found["rejected"]
    assert found["failed"].startswith("differs from the network by 0.01 in a logit")
    assert not (tmp_path / "network.pt2").exists()
    assert (tmp_path / "rejected" / "network.pt2").exists()


def test_without_preprocessing_there_is_no_file_with_it(tmp_path):
    pytest.importorskip("onnxscript")
    written = write_formats(source_of("nasbench201", preprocessing=None), tmp_path, ["onnx-uint8"])
    assert written.formats["onnx-uint8"]["failed"].startswith("preprocessing: the data of this run")


def test_agreement_counts():
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])
    found = expected.clone()
    found[0] = torch.tensor([0.0, 0.5])
    result = agreement(found, expected, torch.tensor([0, 1, 1, 1]))
    assert (result.max_difference, result.same_top1) == (1.0, 0.75)
    assert (result.accuracy, result.source_accuracy) == (50.0, 75.0)
    assert not result.holds
    assert agreement(expected + 2e-4, expected, torch.zeros(4)).holds
    assert not agreement(torch.full((4, 2), float("nan")), expected, torch.zeros(4)).holds
