"""The README works as printed, and its badges are those of the metadata."""

import importlib.util
import re

import pytest

from support.docs_blocks import DOCS, blocks_of, follow

README = DOCS.parent / "README.md"


@pytest.fixture(scope="module")
def badges():
    spec = importlib.util.spec_from_file_location("docs_badges", DOCS / "badges.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.badges()


def test_the_code_of_the_readme_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert follow(README, tmp_path) == 3
    made = ("report.html", "both.html", "cell.svg", "my_search.toml", "runs/climb/derive/result.json")
    assert [name for name in made if not (tmp_path / name).is_file()] == []


def test_the_first_code_is_six_lines_of_each_language():
    blocks = [block for block in blocks_of(README) if block.run][:2]
    assert [block.language for block in blocks] == ["bash", "python"]
    assert [len([line for line in block.body.splitlines() if line]) for block in blocks] == [6, 6]


def test_badges_are_those_of_the_metadata(badges):
    shown = re.findall(r"docs/badges/([\w.-]+)", README.read_text("utf8"))
    assert sorted(shown) == sorted(badges)
    for name, drawn in badges.items():
        assert (DOCS / "badges" / name).read_text("utf8") == drawn, "renew it: python docs/badges.py"


def test_the_picture_is_small():
    assert (DOCS / "assets" / "report.png").stat().st_size < 200_000
