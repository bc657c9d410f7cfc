"""The standalone folder: code for people, run where nasforge cannot be imported."""

import ast
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from nasforge.exports.program import record
from nasforge.exports.standalone.code import WIDTH, _wrapped, write_model
from nasforge.exports.standalone.layers import layer_of
from nasforge.exports.standalone.naming import short_names
from nasforge.exports.writing import write_formats
from nasforge.nn import Output
from support.export_sources import NAMES, PREPROCESSING, source_of
from support.exported_spaces import SPACES

TOLERANCE = 1e-5

WITHOUT_NASFORGE = """
import sys
sys.modules["nasforge"] = sys.modules["nasforge_plugins"] = None  # importing them is an error now
sys.path.insert(0, sys.argv[1])
"""

RUN = f"""{WITHOUT_NASFORGE}
import json
from pathlib import Path
import torch
torch.set_num_threads(1)
import model
(images,) = model.read_safetensors(Path(sys.argv[2])).values()
with torch.no_grad():
    print(json.dumps(model.load()(images).tolist()))
"""

PREDICT = f"""{WITHOUT_NASFORGE}
import predict
sys.exit(predict.main(sys.argv[2:]))
"""


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def imported(text):
    tree = ast.parse(text)
    found = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    return found | {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("name", SPACES)
def test_the_code_computes_the_network_without_nasforge(name, tmp_path):
    source = source_of(name)
    found = write_formats(source, tmp_path, ["standalone"]).formats["standalone"]
    assert found["max_difference"] <= TOLERANCE
    folder = tmp_path / "standalone"
    text = (folder / "model.py").read_text()
    assert imported(text) == {"__future__", "json", "pathlib", "torch", "torch.nn"}
    assert max(map(len, text.splitlines())) <= WIDTH
    save_file({"images": source.samples.images}, tmp_path / "images.safetensors")
    done = run(RUN, folder, tmp_path / "images.safetensors")
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = source.classifier(source.samples.images)
    assert (torch.tensor(json.loads(done.stdout)) - expected).abs().max().item() <= TOLERANCE
    assert (folder / "labels.txt").read_text().split() == list(NAMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("standalone")
    about = {"name": "tiny", "notation": "a|b", "params": 1234, "accuracy": 87.5, "accuracy_best": 93.75}
    source = source_of("darts", about=about, recipe='[space]\nuse = "darts"')
    write_formats(source, place, ["standalone"])
    return source, place / "standalone"


def test_the_folder_has_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = write_formats(source_of("nasbench201"), tmp_path, ["standalone"]).formats["standalone"]
    files = {file.name: file.stat().st_size for file in (tmp_path / "standalone").iterdir()}
    names = "README.md images.py labels.txt model.py predict.py weights.safetensors"
    assert set(files) - {"architecture.svg"} == set(names.split())
    assert found["bytes"] == sum(files.values())


def test_predict_reads_files_as_the_training_did(folder, tmp_path):
    source, place = folder
    rng = np.random.default_rng(0)
    turned = Image.fromarray(rng.integers(0, 255, (40, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(rng.integers(0, 255, (20, 30, 4), dtype=np.uint8)).save(tmp_path / "alpha.png")
    Image.fromarray(rng.integers(0, 255, (33, 17), dtype=np.uint8)).save(tmp_path / "gray.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths = [tmp_path / f"{name}.png" for name in ("turned", "alpha", "gray")]
    done = run(PREDICT, place, *paths, tmp_path / "broken.png")
    assert done.returncode == 1
    assert "broken.png: it is not an image of a known format" in done.stderr
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        image = PREPROCESSING.apply(PREPROCESSING.read(path)[None])
        with torch.no_grad():
            probabilities = source.classifier(image).softmax(1)[0]
        best = probabilities.topk(3)
        words = [f"{NAMES[i]} {100 * p:.1f} %" for p, i in zip(best.values, best.indices, strict=True)]
        assert line == f"{path}: {', '.join(words)}"


def test_the_model_card_says_what_the_network_is(folder):
    _, place = folder
    card = (place / "README.md").read_text()
    for text in ("# tiny", "| parameters | 1,234 |", "| accuracy | 87.50 % |", "cat, dog, fox, owl", "a|b"):
        assert text in card
    assert 'use = "darts"' in card
    assert "93.75" not in card, "the best of several epochs is not the accuracy of these weights"


def test_the_code_reads_as_a_person_writes(folder):
    _, place = folder
    text = (place / "model.py").read_text()
    assert "self.norm(self.pointwise(self.depthwise(torch.relu(x))))" in text
    assert text.count("class SeparableConv(") == 1
    assert "torch.ops" not in text
    assert "\n        before = self.before(" in text


@pytest.mark.parametrize("length", range(1, 20))
def test_no_argument_is_broken_in_two(length):
    words = ["self", *(f"{'x' * length}{i}: int" for i in range(20))]
    head, *body, tail = _wrapped("    def __init__(", words, ") -> None:").splitlines()
    assert (head, tail) == ("    def __init__(", "    ) -> None:")
    assert all(line.endswith(": int,") for line in body)
    assert " ".join(line.strip() for line in body) == ", ".join(words) + ","


class Odd(nn.Module):
    """Things that spaces do: shared layers, in-place operators, own weights, sizes, several results."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.tensor([0.5, 2.0, -1.0, 3.0]).view(1, 4, 1, 1))
        self.register_buffer("offset", torch.arange(4.0).view(1, 4, 1, 1))
        self.parts = nn.ModuleList([Halves(), Halves()])
        self.shared = nn.Linear(4, 4)
        self.constant = torch.full((4,), 0.25)

    def forward(self, images):
        x = self.act(self.first(images))
        x = x * self.scale - (x - (self.offset + 1))
        x += 1
        for part in self.parts:
            x = part(x)
        pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
        pooled = self.shared(self.shared(pooled)) + self.constant
        return Output(pooled.view(images.size(0), -1))


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(1, 2)

    def forward(self, x):
        a, b = x.chunk(2, 1)
        return torch.cat([F.hardswish(a) / 2, self.norm(b).clamp(min=0.1)], 1)


def test_unusual_networks(tmp_path):
    torch.manual_seed(0)
    source = source_of("", network=Odd().eval())
    found = write_formats(source, tmp_path, ["standalone"]).formats["standalone"]
    assert found.get("failed") is None
    assert found["max_difference"] <= TOLERANCE
    text = (tmp_path / "standalone" / "model.py").read_text()
    assert text.count("self.shared(") == 2
    assert "self.scale = nn.Parameter(torch.empty((1, 4, 1, 1)))" in text


def test_a_network_that_changes_no_input_is_recorded_once(monkeypatch):
    source = source_of("nasbench201")
    program = record(source)
    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", lambda *_: pytest.fail("again"))
    code, _ = write_model(program, source.classifier, "About.")
    assert "torch.ops" not in code


class OtherSecondTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Grows()

    def forward(self, images):
        return Output(self.inner(self.inner(images.mean((2, 3)))))


class Grows(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 4))

    def forward(self, x):
        return x @ self.weight if x.shape[1] == 3 else torch.relu(x) @ self.weight.T @ self.weight


def test_a_module_that_computes_something_else_the_second_time(tmp_path):
    source = source_of("", network=OtherSecondTime().eval())
    found = write_formats(source, tmp_path, ["standalone"]).formats["standalone"]
    assert "is called twice" in found.get("failed", "is called twice")
    assert "failed" in found or found["max_difference"] <= TOLERANCE


def test_layers_are_described_as_they_were_made():
    made = nn.Conv2d(4, 8, (3, 5), padding=(1, 2), groups=2, bias=False)
    layer = layer_of(made)
    assert dict(layer.required) == {"in_channels": 4, "out_channels": 8, "kernel_size": (3, 5)}
    assert dict(layer.optional)["bias"] is False
    assert layer_of(nn.Sequential(nn.ReLU())) is None

    class Own(nn.BatchNorm2d):
        pass

    assert layer_of(Own(3)) is None
    assert layer_of(nn.MaxPool2d(3, 2, 1)).kind == "MaxPool2d"


def test_names_are_short_and_valid():
    paths = [("cells", "0"), ("cells", "1"), ("stages", "0", "block0"), ("stages", "1", "block0"), ("stem",)]
    assert list(short_names(paths).values()) == ["cell0", "cell1", "stage0_block0", "stage1_block0", "stem"]
    assert list(short_names([("class",), ("a", "b"), ("x<-y",)]).values()) == ["class2", "b", "x_y"]


def test_equal_blocks_share_a_class_with_arguments():
    source = source_of("chain")
    text, weights = write_model(record(source), source.classifier, "A network.")
    assert text.count("class SqueezeExcite(") == 1
    assert "def __init__(self, " in text.split("class SqueezeExcite(")[1]
    assert len(weights) == len(source.classifier.state_dict())
