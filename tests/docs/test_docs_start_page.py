"""The start page looks as it should: its parts are in their places, and a tiny picture of it is as committed.

To renew the pictures after a change that is meant: RENEW_PICTURES=1 pytest tests/docs/test_docs_start_page.py
"""

import os
import xml.etree.ElementTree as ET
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from support.docs_blocks import DOCS

pytestmark = pytest.mark.slow

PLACES = {
    "header": "header",
    "headline": "article h1",
    "picture": "article img",
    "table": "article table",
    "navigation": ".md-sidebar--primary",
}
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
VIEWS = {"desktop": DESKTOP, "phone": PHONE}

BOX = Image.Resampling.BOX

PICTURES = Path(__file__).parent / "pictures"
WIDTH = 40
HEIGHTS = {"window": 40, "header": 4, "picture": 24}
"""Pixels that each part of the page is shrunk to: so few that letters of another font look the same."""
TOLERANCE = {"window": 12.0, "header": 4.0, "picture": 4.0}
"""Mean distance in colour, of 255. That of the window lets words come and go, and all below move."""


@pytest.fixture
def start_page(address, open_page, view, scheme):
    window = open_page(VIEWS[view], color_scheme=scheme, reduced_motion="reduce")
    window.goto(address)
    return window


each_view = pytest.mark.parametrize("view", VIEWS)
each_scheme = pytest.mark.parametrize("scheme", ["light", "dark"])


@each_scheme
@each_view
def test_its_parts_are_in_their_places(start_page, complaints, view):
    viewport, place = VIEWS[view], boxes(start_page)
    for name, box in place.items():
        if name != "navigation":
            assert 0 <= box["x"] < box["x"] + box["width"] <= viewport["width"], name
    assert place["header"]["y"] == 0
    assert place["header"]["height"] <= place["headline"]["y"]
    assert place["headline"]["y"] + place["headline"]["height"] <= place["picture"]["y"]
    end = place["picture"]["y"] + place["picture"]["height"]
    assert end <= viewport["height"]
    assert end <= place["table"]["y"]
    assert place["picture"]["width"] > 0.85 * start_page.locator("article").bounding_box()["width"]
    assert place["headline"]["y"] < 0.2 * viewport["height"]
    assert (place["navigation"]["x"] >= 0) == (view == "desktop")  # on a phone it waits beside the window
    assert ink(start_page, place["headline"]) > 0.01
    pixels = shot(start_page, place["picture"])
    for colour, share in areas(drawing_of(start_page)).items():
        # Less than all of the box is left to its colour: words and rounded corners take the rest.
        assert 0.6 * share < pixels[ImageColor.getrgb(colour)] / pixels.total() < share, colour
    assert complaints == []


@each_scheme
@each_view
def test_it_looks_like_its_picture(start_page, view, scheme):
    now, path = small(start_page), PICTURES / f"start-{view}-{scheme}.png"
    if os.environ.get("RENEW_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        Image.fromarray(now).save(path, optimize=True)
    assert changes(now, path) == {}, f"the first lines of {Path(__file__).name} say how to renew {path.name}"


SPOILED = {
    "without its style": "document.querySelectorAll('link[rel=stylesheet]').forEach(e => e.remove())",
    "with another picture": "document.querySelector('article img').srcset = 'assets/images/favicon.png'",
    "with an empty picture": "document.querySelector('article img').style.opacity = 0",
    "in another colour": "document.querySelector('header').style.background = '#e65100'",
    "covered": "document.body.insertAdjacentHTML('beforeend', "
    "'<div style=\"position:fixed;inset:25%;background:#222;z-index:99\"></div>')",
}


@pytest.mark.parametrize(("view", "scheme"), [("desktop", "light")])
def test_a_spoiled_page_does_not_look_like_its_picture(start_page, view, scheme):
    assert set(changes(small(start_page), PICTURES / f"start-{view}-dark.png")) == {"window"}
    path = PICTURES / f"start-{view}-{scheme}.png"
    start_page.evaluate("document.querySelector('article p').append(' Some more words are no harm.')")
    assert changes(small(start_page), path) == {}
    for name, spoil in SPOILED.items():
        start_page.reload()
        start_page.evaluate(f"() => {{ {spoil} }}")
        assert changes(small(start_page), path), name


def boxes(window):
    return {name: window.locator(selector).first.bounding_box() for name, selector in PLACES.items()}


def drawing_of(window):
    """Return the file that the picture on the page was drawn from."""
    return (
        DOCS / "assets" / window.evaluate("document.querySelector('article img').currentSrc").split("/")[-1]
    )


def picture_of(window, **clip):
    return Image.open(BytesIO(window.screenshot(**clip))).convert("RGB")


def small(window):
    """Return the window, its header and the picture on it, each shrunk to some pixels, in one column."""
    whole, place = picture_of(window), boxes(window)
    frames = {"window": (0, 0, *whole.size)}
    for name in ("header", "picture"):
        x, y, width, height = (place[name][key] for key in ("x", "y", "width", "height"))
        frames[name] = (x, y, x + max(width, 1), y + max(height, 1))
    parts = [whole.crop(frames[name]).resize((WIDTH, rows), BOX) for name, rows in HEIGHTS.items()]
    return np.concatenate([np.asarray(part) for part in parts])


def changes(now, path):
    """Return how far each part is from that of a stored picture, where it is farther than it may be."""
    then, found, row = np.asarray(Image.open(path).convert("RGB"), dtype=float), {}, 0
    for name, rows in HEIGHTS.items():
        apart = np.abs(now[row : row + rows] - then[row : row + rows]).mean()
        row += rows
        if apart > TOLERANCE[name]:
            found[name] = round(float(apart), 1)
    return found


def shot(window, box):
    """Count the colours of a part of what the window shows."""
    return Counter(zip(*[iter(picture_of(window, clip=box).tobytes())] * 3, strict=True))


def ink(window, box):
    """Return the share of pixels that are far from the colour of the background."""
    pixels = shot(window, box)
    background = sum(pixels.most_common(1)[0][0])
    return sum(n for colour, n in pixels.items() if abs(sum(colour) - background) > 150) / pixels.total()


def areas(drawing):
    """Return the share of a drawing that the boxes of each colour take, paper apart."""
    root, found = ET.parse(drawing).getroot(), Counter()
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for group in root:
        for box in group.iter("{http://www.w3.org/2000/svg}rect"):
            colour = box.get("fill", group.get("fill"))
            found[colour] += float(box.get("width")) * float(box.get("height")) / (width * height)
    assert len(found) > 3
    return {colour: share for colour, share in found.items() if share < 1}
