"""Notebooks are kept with their outputs, work from an empty folder, and are pages of the site."""

import json
import re

import pytest

from support.docs_blocks import DOCS
from support.docs_site import GENERATED, generate

FILES = sorted((DOCS / "notebooks").glob("*.ipynb"))
OF_A_COMPUTER = re.compile(
    r"/(?:home|root|tmp|work|Users|var)/|[A-Z]:\\|site-packages|\b\d+(\.\d+)? ?(?:s|ms)\b"
)
"""Paths of a computer, and times that were measured on it."""


def read(file):
    return json.loads(file.read_text("utf8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def texts_of(cell):
    """Return what a cell shows as text, drawings left out."""
    kept = [output.get("data") or {"text/plain": output["text"]} for output in cell["outputs"]]
    return json.dumps([one for data in kept for kind, one in data.items() if kind.startswith("text/")])


def test_there_is_a_first_search():
    assert "first-search" in [file.stem for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_outputs_are_kept_without_traces_of_the_computer(file):
    notebook = read(file)
    assert all(cell["outputs"] for cell in code_cells(notebook))
    assert [text for cell in code_cells(notebook) if OF_A_COMPUTER.search(text := texts_of(cell))] == []
    assert generate.notebooks.strip(read(file)) == notebook


def test_traces_are_found():
    assert OF_A_COMPUTER.search("saved to /home/ada/runs")
    assert OF_A_COMPUTER.search("done in 3.5 s")
    assert not OF_A_COMPUTER.search("runs/first/report.html: 91.2 % of 10 classes")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_site_shows_cells_and_outputs(file):
    page = GENERATED[f"notebooks/{file.stem}.md"]
    for cell in read(file)["cells"]:
        assert "".join(cell["source"]) in page
    shown = [output for cell in code_cells(read(file)) for output in cell["outputs"]]
    drawings = [output for output in shown if "image/svg+xml" in output.get("data", {})]
    assert page.count("<svg ") == len(drawings) > 0
    for output in shown:
        assert "".join(output.get("text", "")).rstrip() in page


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_works_from_an_empty_folder(file):
    for name in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(name, reason=f"{name}, of the extra test, is not installed")
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    kept, made = read(file), generate.notebooks.execute(file)
    kinds = [[sorted(o.get("data", o)) for o in cell["outputs"]] for cell in code_cells(made)]
    assert kinds == [[sorted(o.get("data", o)) for o in cell["outputs"]] for cell in code_cells(kept)]
    text = "".join(map(texts_of, code_cells(made)))
    assert not OF_A_COMPUTER.search(text)
    (accuracy,) = re.findall(r"([\d.]+) % of the test images", text)
    (exported,) = re.findall(r"file on the test images: ([\d.]+) %", text)
    assert float(accuracy) > 50  # ten classes: far from chance
    assert exported == accuracy
    assert "below 1e-4: True" in text
