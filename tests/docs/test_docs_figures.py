"""The pictures of the site are what the code draws, every page that has one shows it, and letters fit."""

import importlib.util
import re
import xml.etree.ElementTree as ET

import pytest

from support.docs_blocks import DOCS
from support.docs_site import WRITTEN
from support.rooms import ROWS

SVG = "{http://www.w3.org/2000/svg}"
ASSETS = DOCS / "assets"


def drawn():
    spec = importlib.util.spec_from_file_location("docs_figures", DOCS / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.figures()


FIGURES = drawn()


def test_the_rooms_are_those_of_the_code():
    shown = re.findall(r"<text[^>]*>([^<]+)</text>", FIGURES["rooms.svg"])
    assert shown == [room for row in reversed(ROWS) for room in row]


def test_every_picture_is_drawn_and_shown():
    assert {path.name for path in ASSETS.glob("*.svg")} == set(FIGURES)
    shown = re.findall(r"assets/([\w-]+\.svg)", "".join(WRITTEN.values()))
    assert set(shown) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_the_picture_is_up_to_date(name):
    assert (ASSETS / name).read_text("utf8") == FIGURES[name], "renew it: python docs/figures.py"


@pytest.mark.parametrize("name", FIGURES)
def test_letters_are_large_enough_and_inside(name):
    root = ET.fromstring(FIGURES[name])
    width, height = map(float, root.get("viewBox").split()[2:])
    texts = list(root.iter(f"{SVG}text"))
    assert texts
    assert root.find(f"{SVG}title").text
    # A phone shows 358 pixels; the start page has a narrow picture for it.
    shrunk = 1.0 if name == "parts.svg" else min(1.0, 358 / width)
    for text in texts:
        size = float(text.get("font-size"))
        assert size * shrunk >= 11, text.text
        assert 0 < float(text.get("y")) < height
        x, wide = float(text.get("x")), 0.6 * size * len(text.text)
        left = (
            x
            if text.get("text-anchor") == "start"
            else x - wide / (1 if text.get("text-anchor") == "end" else 2)
        )
        assert left >= 0, text.text
        assert left + wide <= width, text.text
