"""``nasforge predict``: what can be named, what is printed, and what is refused."""

import csv
import io
import json
import subprocess
import sys

import pytest

import nasforge
from nasforge.cli import run_command
from nasforge.cli.image_arguments import find_images
from nasforge.errors import DataError
from support.photos import break_file, write_photos
from support.tiny_recipe import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with ``photos`` and the finished run ``run``."""
    place = tmp_path_factory.mktemp("predict")
    write_photos(place / "photos")
    data = {"use": "image-folder", "root": str(place / "photos"), "image_size": 16, "cache": False}
    recipe = tiny(data=data, train={"epochs": 3}, run={"name": "run"})
    nasforge.run(recipe, out=place)
    return place


@pytest.fixture
def predict(place, monkeypatch, capsys):
    monkeypatch.chdir(place)

    def command(*arguments):
        status = run_command(["predict", "run", *map(str, arguments)])
        return status, *capsys.readouterr()

    return command


def reported(place):
    return json.loads((place / "run/test/result.json").read_text())["accuracy"]


def test_a_folder_of_classes_gives_the_accuracy_of_the_run(predict, place):
    status, out, err = predict("photos/test")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    assert lines[1].startswith("photos/test/blue/0.jpg  ")
    assert len(lines) == 1 + 15 + 2
    assert f"accuracy {reported(place):.2f} %:" in lines[-1]
    assert sum(line.endswith("wrong") for line in lines) == round(15 * (1 - reported(place) / 100))


def test_json_has_the_exact_accuracy_and_top_classes(predict, place):
    status, out, _ = predict("photos/test", "--json", "--top", 2)
    found = json.loads(out)
    assert status == 0
    assert found["accuracy"] == reported(place)
    assert found["run"] == "run"
    first = found["images"][0]
    assert (first["image"], first["label"]) == ("photos/test/blue/0.jpg", "blue")
    assert first["top"][0] == {"class": first["class"], "probability": first["probability"]}
    assert [len(row["top"]) for row in found["images"]] == [2] * 15


def test_csv_agrees_with_json(predict):
    by_json = json.loads(predict("photos/test", "--json", "--top", 9)[1])["images"]
    rows = list(csv.DictReader(io.StringIO(predict("photos/test", "--csv", "--top", 9)[1])))
    assert list(rows[0])[:6] == ["image", "label", "class", "probability", "class_2", "probability_2"]
    assert len(rows[0]) == 8
    for row, other in zip(rows, by_json, strict=True):
        assert (row["image"], row["label"], row["class"]) == (other["image"], other["label"], other["class"])
        assert float(row["probability_3"]) == pytest.approx(other["top"][2]["probability"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["photos/test/red/0.jpg"], 1),
        (["photos/test/red"], 5),
        (["photos/test/*/0.jpg"], 3),
        (["photos/**/2.png"], 6),
        (["photos/test/r?d"], 5),
        (["photos/test/red", "photos/test/*/0.jpg", "photos/test/red/0.jpg"], 7),
        (["photos/test/"], 15),
    ],
)
def test_files_folders_and_patterns(predict, arguments, expected):
    status, out, _ = predict(*arguments, "--csv")
    names = [row["image"] for row in csv.DictReader(io.StringIO(out))]
    assert status == 0
    assert len(names) == len(set(names)) == expected


def test_images_without_classes_have_no_accuracy(predict, place, tmp_path):
    (tmp_path / "one.jpg").write_bytes((place / "photos/test/red/0.jpg").read_bytes())
    status, out, err = predict(tmp_path)
    assert (status, err) == (0, "")
    assert "accuracy" not in out
    assert len(out.splitlines()) == 2


def test_a_class_that_the_run_does_not_know_is_named(predict, place, tmp_path):
    for name in ("red", "greeen"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes((place / "photos/test/red/0.jpg").read_bytes())
    status, out, err = predict(tmp_path)
    assert status == 0
    assert "'greeen' is not a class of this run, other folders are. Did you mean 'green'?" in err
    assert "accuracy" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photos/tset"], "there is no file or folder 'photos/tset'. Did you mean 'test'?"),
        (["nowhere/x.jpg"], "there is no file or folder 'nowhere/x.jpg'."),
        (["photos/*/*.gif"], "'photos/*/*.gif' matches no file."),
        (["empty"], "folder 'empty' has no image (.bmp, .jpeg"),
        (["emp*"], "folders without images"),
        (["a.jpg", "b*"], "'a.jpg'. 'b*' matches no file."),
    ],
)
def test_arguments_that_name_nothing_are_explained(predict, place, arguments, words):
    (place / "empty").mkdir(exist_ok=True)
    status, out, err = predict(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: predict: ")
    assert words in err


def test_two_formats_are_refused(predict):
    status, out, err = predict("photos/test", "--json", "--csv")
    assert (status, out) == (2, "")
    assert "--json and --csv contradict each other" in err


def test_broken_images_are_all_listed_or_left_out(predict, place, tmp_path):
    for name in ("0", "1", "4"):
        (tmp_path / f"{name}.jpg").write_bytes((place / f"photos/test/red/{name}.jpg").read_bytes())
    break_file(tmp_path / "1.jpg")
    (tmp_path / "0.jpg").write_text("not an image")
    status, out, err = predict(tmp_path)
    assert (status, out) == (1, "")
    assert "2 of 3 images cannot be read" in err
    assert f"{tmp_path / '0.jpg'}': it is not an image" in err
    assert f"{tmp_path / '1.jpg'}'" in err
    status, out, err = predict(tmp_path, "--skip-broken")
    assert status == 0
    assert "2 of 3 images cannot be read" in err
    assert [line.split()[0] for line in out.splitlines()[1:]] == [str(tmp_path / "4.jpg")]
    (tmp_path / "4.jpg").unlink()
    assert predict(tmp_path, "--skip-broken")[0] == 1


def test_a_folder_that_is_not_a_run_is_an_error(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert run_command(["predict", "photos", "photos/test"]) == 1
    assert "photos: is not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "nowhere*.jpg"]])
def test_help_and_wrong_arguments_do_not_import_torch(arguments):
    code = (
        "import sys\nfrom nasforge.cli import run_command\n"
        f"run_command(['predict', *{arguments}])\nassert 'torch' not in sys.modules\nprint('light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("light\n")


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.png' is a symbolic link that leads to no file. Remove it"):
        find_images([str(tmp_path / "a.png")])
