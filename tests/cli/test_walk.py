"""The walk of a new user: photos as they come, from ``init`` to the classes of new images."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import nasforge
from nasforge.cli import run_command
from nasforge.images import Preprocessing
from support.photos import break_file, write_photos

onnxruntime = pytest.importorskip("onnxruntime", reason="needs nasforge[export]")

SMALL = ["space.channels=4", "space.cells=3", "train.epochs=3", "searcher.use=fixed"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("walk")


def command(capsys, *arguments):
    """Run a command, which must succeed, and return what it printed."""
    status = run_command([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return printed.out, printed.err


def test_photos_become_a_network_that_names_photos(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("NASFORGE_CACHE", str(place / "cache"))
    write_photos(place / "photos", train=12, test=6, side=(20, 60))
    break_file(place / "photos/test/green/4.jpg")
    sets = [word for option in SMALL for word in ("--set", option)]

    out, err = command(capsys, "init", "photos.toml", "--images", "photos", "--budget", "smoke")
    assert "found 36 training and 17 test images in 3 classes" in out
    assert "1 of 54 images cannot be read" in err
    assert "test/green/4.jpg" in err

    out, err = command(capsys, "check", "photos.toml", "--deep", *sets)
    assert "Images: 36 for training and 17 for testing were read, in 3 classes" in out
    assert "test/green/4.jpg" in err

    out, err = command(capsys, "run", "photos.toml", *sets)
    result = json.loads((place / "runs/photos/test/result.json").read_text())
    assert 0 < result["accuracy"] < 100
    assert result["class_names"] == ["blue", "green", "red"]
    assert "test/green/4.jpg" in err

    out, err = command(capsys, "predict", "runs/photos", "photos/test", "--skip-broken", "--json")
    found = json.loads(out)
    assert found["accuracy"] == result["accuracy"]
    assert len(found["images"]) == 17
    assert "test/green/4.jpg" in err

    predictor = nasforge.load_predictor("runs/photos")
    files = [row["image"] for row in found["images"]]
    assert [p.class_name for p in predictor(files)] == [row["class"] for row in found["images"]]

    out, err = command(
        capsys, "export", "runs/photos", "--format", "onnx-uint8", "--format", "standalone", "--images", "0"
    )
    exported = json.loads((place / "runs/photos/export/result.json").read_text())["formats"]
    assert {found["accuracy"] for found in exported.values()} == {result["accuracy"]}
    expected = [row["class"] for row in found["images"]]
    assert classes_by_onnxruntime(place / "runs/photos", files) == expected
    assert classes_by_folder(place / "runs/photos/export/standalone", files) == expected

    out, err = command(capsys, "report", "runs/photos")
    page = (place / "runs/photos/report.html").read_text()
    assert f"{result['accuracy']:.2f}" in page
    assert "onnx-uint8" in page
    assert "standalone" in page


def classes_by_onnxruntime(run, files):
    """Name the classes of files by the ONNX file with normalisation inside and what its metadata say."""
    session = onnxruntime.InferenceSession(run / "export/network-uint8.onnx")
    about = session.get_modelmeta().custom_metadata_map
    names = json.loads(about["class_names"])
    prepare = Preprocessing.from_json(json.loads(about["preprocessing"]))
    pixels = torch.stack([prepare.read(file) for file in files]).numpy()
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels})
    return [names[i] for i in logits.argmax(1)]


def classes_by_folder(folder, files):
    """Name the classes of files in a process that cannot import nasforge."""
    script = (
        "import sys; sys.modules['nasforge'] = None; import predict; sys.exit(predict.main(sys.argv[1:]))"
    )
    paths = [str(Path(file).resolve()) for file in files]
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line.split(": ")[-1].split()[0] for line in done.stdout.splitlines()]


def test_broken_photos_stop_a_run_that_does_not_skip_them(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("NASFORGE_CACHE", str(place / "cache"))
    whole = ["--set", "data.skip_broken=false"]
    for arguments in (["check", "photos.toml", "--deep"], ["run", "photos.toml", "--set", "run.name=other"]):
        assert run_command([*arguments, *whole]) == 1
        err = capsys.readouterr().err
        assert "1 of 54 images cannot be read" in err
        assert "test/green/4.jpg" in err
        assert "data.skip_broken = true" in err
