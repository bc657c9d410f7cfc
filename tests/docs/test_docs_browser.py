"""The site in a real browser: every page opens, nothing is missing, and it can be read on a phone."""

import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from io import BytesIO

import pytest
from PIL import Image, ImageColor

from docs_blocks import DOCS
from docs_site import ALL

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = [  # a browser that asks nobody for updates, and that runs as root in a container
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000
"""Milliseconds: a busy machine is slow, and only something that never comes is a failure."""

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"there is no browser here: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:  # every launch has a new profile
        browser = driver.chromium.launch(executable_path=found, headless=True, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def complaints():
    return []


@pytest.fixture
def open_page(browser, address, complaints):
    """Open windows whose every complaint is kept."""
    contexts, own = [], (address, "data:", "blob:")

    def opened(viewport, **settings):
        contexts.append(browser.new_context(viewport=viewport, **settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda m: m.type in ("error", "warning") and complain(page, "console", m.text))
        page.on("pageerror", lambda error: complain(page, "error", error))
        page.on("requestfailed", lambda r: dropped(r) or complain(page, r.failure, r.url))
        page.on("request", lambda r: r.url.startswith(own) or complain(page, "from elsewhere", r.url))
        page.on("response", lambda r: r.status >= 400 and complain(page, r.status, r.url))
        return page

    def dropped(request):  # the next page was opened before all of this one had come
        return request.failure == "net::ERR_ABORTED"

    def complain(page, what, detail):
        complaints.append(f"{page.url.removeprefix(address)}: {what}: {detail}")

    yield opened
    for context in contexts:
        context.close()


def pages_of(site):
    """Return the pages that the sitemap lists, by their path below the start page."""
    places = [place.text for place in ET.parse(site / "sitemap.xml").iter() if place.tag.endswith("loc")]
    return [place.partition("/nasforge/")[2] for place in places]


def test_the_sitemap_lists_every_page(site):
    expected = {re.sub(r"(index)?\.md$", "", name) for name in ALL}
    assert {page.strip("/") for page in pages_of(site)} == {name.strip("/") for name in expected}


PARTS = """() => ({
    ids: [...document.querySelectorAll("[id]")].map(e => e.id),
    links: [...document.querySelectorAll("a[href]")].map(a => a.href),
    images: [...document.images].filter(i => !i.complete || i.naturalWidth == 0).map(i => i.src),
})"""


def test_every_page_opens_leads_somewhere_and_fits_a_phone(site, address, open_page, complaints):
    window, seen = open_page(DESKTOP), {}
    for name in pages_of(site):
        window.set_viewport_size(DESKTOP)
        window.goto(address + name, wait_until="load")
        seen[address + name] = window.evaluate(PARTS)
        window.set_viewport_size(PHONE)
        if (width := window.evaluate("document.scrollingElement.scrollWidth")) > PHONE["width"]:
            complaints.append(f"{name}: {width} pixels wide")
    assert len(seen) > 30
    for page, parts in seen.items():
        complaints += [f"{page}: picture {image}" for image in parts["images"]]
        dead = [link for link in parts["links"] if not leads(link, address, site, seen)]
        complaints += [f"{page}: link {link}" for link in dead]
    assert complaints == []


def leads(link, address, site, seen):
    """Say whether a link leads to a page of the site, to a place in it that exists, or to another site."""
    target, _, anchor = link.partition("#")
    if not target.startswith(address):
        return target.startswith("https://")
    if target in seen:
        return not anchor or anchor in seen[target]["ids"]
    return not anchor and (site / target.removeprefix(address)).is_file()


def test_a_dead_link_is_found(site):
    seen = {"http://here/": {"ids": ["top"]}}
    alive = ["http://here/#top", "https://example.org/", "http://here/sitemap.xml"]
    dead = ["http://here/#gone", "http://here/gone/", "http://example.org/"]
    assert [link for link in alive + dead if leads(link, "http://here/", site, seen)] == alive


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_missing_is_said_so(address, open_page, complaints, scheme):
    window = open_page(DESKTOP, color_scheme=scheme)
    assert window.goto(f"{address}404.html").status == 200
    assert "404" in window.inner_text("main")
    assert window.evaluate("[...document.styleSheets].length") > 1
    assert complaints == []


def test_a_page_that_is_too_wide_is_found(address, open_page):
    window = open_page(PHONE)
    window.goto(address)
    window.evaluate("document.querySelector('article').append('wide'.repeat(200))")
    assert window.evaluate("document.scrollingElement.scrollWidth") > PHONE["width"]


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("cdarts", "cdarts/"),
        ("l1_coefficient", "reference/searchers/"),
        ("ChoiceBlock", "reference/nn/"),
        ("load_network", "reference/python/"),
    ],
)
def test_search_finds(address, open_page, complaints, words, page):
    window = open_page(DESKTOP)
    window.goto(address)
    window.fill("[data-md-component=search-query]", words)
    results = window.locator(".md-search-result__link")
    results.first.wait_for()
    found = results.evaluate_all("all => all.map(a => a.href)")
    marked = [link for link in found if link.startswith(f"{address}{page}?h={words.lower()}")]
    assert marked, found
    window.goto(marked[0])
    window.locator("article mark").first.wait_for()
    assert complaints == []


def boxes(window):
    names = {"headline": "article h1", "picture": "article img", "table": "article table", "header": "header"}
    return {name: window.locator(selector).first.bounding_box() for name, selector in names.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_start_page_looks_as_it_should(address, open_page, complaints, viewport, scheme):
    window = open_page(viewport, color_scheme=scheme)
    window.goto(address)
    place = boxes(window)
    for name, box in place.items():
        assert 0 <= box["x"] < box["x"] + box["width"] <= viewport["width"], name
    assert place["header"]["y"] == 0
    assert place["header"]["height"] <= place["headline"]["y"]
    assert place["headline"]["y"] + place["headline"]["height"] <= place["picture"]["y"]
    assert place["picture"]["y"] + place["picture"]["height"] <= place["table"]["y"] <= viewport["height"]
    assert place["picture"]["width"] > 0.85 * window.locator("article").bounding_box()["width"]
    links = window.locator(".md-nav--primary > .md-nav__list a.md-nav__link")
    assert links.filter(visible=True).count() == 0 if viewport is PHONE else links.first.is_visible()
    assert ink(window, place["headline"]) > 0.01
    pixels = shot(window, place["picture"])
    for colour, share in areas(DOCS / "assets" / "parts.svg").items():
        # Less than all of the box is left to its colour: words and rounded corners take the rest.
        assert 0.6 * share < pixels[ImageColor.getrgb(colour)] / pixels.total() < share, colour
    assert complaints == []


def shot(window, box):
    """Count the colours of a part of what the window shows."""
    picture = Image.open(BytesIO(window.screenshot(clip=box))).convert("RGB")
    return Counter(zip(*[iter(picture.tobytes())] * 3, strict=True))


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
