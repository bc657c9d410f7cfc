"""What a run records for its report: option weights, evaluations, drawings, predictions."""

import base64
import io
import json
import math
import shutil

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

import nasforge
from nasforge.images.preprocessing import Preprocessing
from nasforge.nn import Output
from nasforge.runtime import Runtime, checkpoint
from nasforge.stages.predictions import SIDE, WORST, describe_predictions
from support.tiny_recipe import tiny

SEARCH = {"use": "darts", "epochs": 3, "warmup_epochs": 1}


def rows(folder):
    text = (folder / "search" / "trajectory.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def gradient(tmp_path_factory):
    return nasforge.run(tiny(searcher=SEARCH), out=tmp_path_factory.mktemp("runs")).folder


def test_option_weights_of_every_step(gradient):
    found = rows(gradient)
    assert [row["step"] for row in found] == [1, 2, 3]
    seconds = [row["seconds"] for row in found]
    assert seconds == sorted(seconds)
    choices = json.loads((gradient / "search" / "choices.json").read_text())["choices"]
    sizes = {c["name"]: len(c["options"]) for c in choices if c["kind"] == "op"}
    for row in (found[0], found[2]):
        assert {name: len(values) for name, values in row["weights"].items()} == sizes
        assert all(math.isclose(sum(values), 1, abs_tol=1e-3) for values in row["weights"].values())
    assert found[1].get("weights") != found[0]["weights"]


def test_the_last_weights_lead_to_the_found_architecture(gradient):
    state = checkpoint.load(gradient / "search" / "checkpoint.safetensors")["searcher"]
    last = rows(gradient)[-1]["weights"]
    logits = {n.removeprefix("logits."): v for n, v in state["alpha"].items()}
    assert set(last) == set(logits)
    for name, values in logits.items():
        assert torch.allclose(values.float().softmax(0), torch.tensor(last[name]), atol=1e-4)


def test_a_repeated_step_replaces_its_row(gradient, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(gradient, folder)
    (folder / "search" / "result.json").unlink()
    path = folder / "search" / "trajectory.jsonl"
    path.write_text(path.read_text() + json.dumps({"step": 4, "seconds": 9}) + "\n" + '{"step": 5, "sec')
    nasforge.run(folder)
    assert [row["step"] for row in rows(folder)] == [1, 2, 3]


def test_evaluations_of_a_black_box_search(tmp_path):
    recipe = tiny(
        searcher={"use": "random", "evaluations": 3},
        evaluator={"use": "zero-cost", "proxies": ["params"]},
        train=None,
    )
    folder = nasforge.run(recipe, out=tmp_path).folder
    evaluated = [row["evaluated"] for row in rows(folder)]
    assert all("weights" not in row for row in rows(folder))
    assert len({e["notation"] for e in evaluated}) == 3
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [e["score"] for e in evaluated] == [row["score"] for row in metrics]


def test_the_found_cells_are_kept_as_drawings(gradient):
    found = json.loads((gradient / "derive" / "graphs.json").read_text())
    assert [graph["title"] for graph in found["best"]] == ["normal cell", "reduce cell"]
    assert found["front"] == [found["best"]]


def test_the_confusions_add_up_to_the_accuracy(gradient):
    found = json.loads((gradient / "test" / "predictions.json").read_text())
    result = json.loads((gradient / "test" / "result.json").read_text())
    assert sum(count for *_, count in found["confusion"]) == found["images"] == 12
    right = sum(count for label, predicted, count in found["confusion"] if label == predicted)
    assert 100 * right / 12 == pytest.approx(result["accuracy"])
    assert len(found["worst"]) == 12 - right


class Fixed(nn.Module):
    """Its logits are the first pixels of an image."""

    def forward(self, images):
        return Output(images[:, 0, 0, :3].float(), ())


def described(images, labels, preprocessing=None):
    batches = [(images[:4], labels[:4]), (images[4:], labels[4:])]
    return describe_predictions(Fixed().eval(), batches, Runtime.create("cpu"), preprocessing)


def picture_of(row):
    kind, _, content = row["image"].partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(content)))


def test_the_worst_come_first_and_keep_their_place():
    torch.manual_seed(0)
    images, labels = torch.randn(40, 3, 8, 8), torch.randint(3, (40,))
    found = described(images, labels)
    logits = images[:, 0, 0, :3]
    losses = cross_entropy(logits, labels, reduction="none")
    wrong = [i for i in losses.argsort(descending=True).tolist() if logits[i].argmax() != labels[i]]
    assert [row["index"] for row in found["worst"]] == wrong[:WORST]
    first = found["worst"][0]
    assert first["loss"] == pytest.approx(float(losses[wrong[0]]))
    assert first["probability"] == pytest.approx(float(logits[wrong[0]].softmax(0).max()))


@pytest.mark.parametrize("known", [True, False])
def test_thumbnails_undo_the_normalisation(known):
    pixels = torch.randint(20, 200, (6, 3, 8, 8))
    if not known:  # the whole range of bytes is there
        pixels[0, :, 0, 0], pixels[0, :, 0, 1] = 0, 255
    mean, deviation = (0.5, 0.4, 0.3), (0.2, 0.3, 0.1)
    images = (pixels / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    about = Preprocessing(size=(8, 8), channels="rgb", mean=mean, deviation=deviation) if known else None
    found = described(images, (images[:, 0, 0, :3].argmax(1) + 1) % 3, about)
    assert len(found["worst"]) == 6
    for row in found["worst"]:
        kind, picture = picture_of(row)
        assert kind == "data:image/png"
        shown = torch.tensor(list(picture.tobytes())).reshape(8, 8, 3).permute(2, 0, 1)
        assert (shown - pixels[row["index"]]).abs().max() <= 1  # one step of rounding


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_large_images_of_any_number_of_channels_are_made_small(channels):
    images = torch.rand(6, channels, 200, 120)
    found = described(images, (images[:, 0, 0, :3].argmax(1) + 1) % 3)
    kind, picture = picture_of(found["worst"][0])
    assert kind == "data:image/jpeg"
    assert max(picture.size) == SIDE
    assert len(found["worst"][0]["image"]) < 12_000
