"""The wheel and the source distribution: their files, licences, size and description."""

import email
import importlib.util
import re
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import PurePosixPath

import pytest

import nasforge
from support.environments import ROOT, build_distributions

pytest.importorskip("hatchling", reason="hatchling, the build backend, is not installed")

PLACES = {
    "nasforge": "nasforge",
    "plugins/nasforge_plugins": "nasforge_plugins",
    "recipes": "nasforge/recipes",
}
"""Folders of the checkout that the wheel holds, and where it holds them."""

TABLE = "evaluators/tabular/nasbench201.npz"
"""The one file of measurements. Others need a licence and a line in NOTICE first."""

TEXT = {"", ".c", ".cff", ".css", ".h", ".html", ".ipynb", ".js", ".json", ".md", ".py", ".svg", ".toml"}
TEXT |= {".txt", ".typed", ".yml"}
LARGEST = 5_000_000
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the paths of the wheel and of the source distribution, built once."""
    return build_distributions(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built) -> dict[str, bytes]:
    """Return the files of the wheel by their name."""
    with zipfile.ZipFile(built[0]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sources(built) -> set[str]:
    """Return the names of the files of the source distribution, below its folder."""
    with tarfile.open(built[1]) as archive:
        return {one.name.partition("/")[2] for one in archive.getmembers() if one.isfile()}


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    return email.message_from_bytes(wheel[f"{info_folder()}/METADATA"])


def info_folder() -> str:
    return f"nasforge-{nasforge.__version__}.dist-info"


def files_below(folder: str) -> set[str]:
    found = (path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def foreign_files(names) -> list[str]:
    """Return files that are not text, without pictures of the docs: data, weights, libraries."""
    paths = [PurePosixPath(name) for name in names]
    return [str(p) for p in paths if p.suffix not in TEXT and not (p.suffix == ".png" and "docs" in p.parts)]


def test_the_wheel_holds_the_package_the_plugins_and_the_recipes(wheel):
    expected = {f"{there}/{name}" for folder, there in PLACES.items() for name in files_below(folder)}
    found = {name for name in wheel if not name.startswith(info_folder())}
    assert found == expected
    assert {"nasforge/py.typed", "nasforge/recipes/quickstart.toml"} <= found
    assert "nasforge_plugins/kernels/c/bundle.c" in found
    assert not [name for name in found if "tests" in PurePosixPath(name).parts]


def test_no_data_but_the_table_is_shipped(wheel, sources):
    assert foreign_files(wheel) == [f"nasforge_plugins/{TABLE}"]
    assert foreign_files(sources) == [f"plugins/nasforge_plugins/{TABLE}"]


def test_a_file_that_may_not_be_shipped_is_found():
    names = ["docs/assets/report.png", "tests/docs/pictures/a.png", "a.py", "LICENSE"]
    assert foreign_files([*names, "weights.safetensors", "nasforge/cat.png"]) == [
        "weights.safetensors",
        "nasforge/cat.png",
    ]


def test_licences_are_inside(wheel, sources):
    licences = {"LICENSE", "NOTICE", "LICENSES/Apache-2.0.txt"}
    assert {f"{info_folder()}/licenses/{name}" for name in licences} <= set(wheel)
    assert licences <= sources
    assert TABLE in (ROOT / "NOTICE").read_text("utf8")


def test_the_sources_can_be_tested_and_built(sources):
    assert {"README.md", "hatch_build.py", "pyproject.toml", "mkdocs.yml", "CHANGELOG.md"} <= sources
    assert {f"tests/{name}" for name in files_below("tests") if name.endswith(".py")} <= sources
    assert not [name for name in sources if name.startswith((".venv", "runs/", "site/", "dist/"))]


def test_they_are_small(built):
    assert [path.name for path in built if path.stat().st_size > LARGEST] == []


def test_the_metadata_has_links_and_classifiers(metadata):
    links = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert links == PROJECT["urls"]
    citation = (ROOT / "CITATION.cff").read_text("utf8")
    assert f"\nrepository-code: {links['Repository']}\n" in citation
    pythons = [c.rpartition(" ")[2] for c in metadata.get_all("Classifier") if re.search(r":: 3\.\d+$", c)]
    assert f">={pythons[0]}" == PROJECT["requires-python"]


def test_links_of_the_description_lead_to_the_tag(metadata):
    text = metadata.get_payload()
    here = f"{PROJECT['urls']['Repository']}/blob/v{nasforge.__version__}"
    assert f"]({here}/CONTRIBUTING.md)" in text
    assert [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match("https?:|#", link)] == []


def test_links_are_made_absolute_by_their_kind():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    text = "[a](docs/a.md) ![b](b.png) [![c](c.svg)](d.md#e) [f](https://f.org) [g](#g)"
    assert hook.link_to_repository(text, "https://r", "v1") == (
        "[a](https://r/blob/v1/docs/a.md) ![b](https://r/raw/v1/b.png) "
        "[![c](https://r/raw/v1/c.svg)](https://r/blob/v1/d.md#e) [f](https://f.org) [g](#g)"
    )


def test_the_changelog_has_a_section_of_this_version():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf8"), re.MULTILINE)
    assert headings[0] == nasforge.__version__
