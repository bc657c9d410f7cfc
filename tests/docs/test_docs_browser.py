"""The site in a real browser: every page opens, nothing is missing, and it can be read on a phone."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from support.docs_site import ALL

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


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

UNREADABLE = """() => {
    const found = [], scrolls = ["auto", "scroll"], main = document.querySelector("main");
    const moves = e => scrolls.includes(getComputedStyle(e).overflowX);
    const known = new Map([[main, false]]);
    const inside = e => {
        if (!known.has(e)) known.set(e, moves(e) || !!(e.parentElement && inside(e.parentElement)));
        return known.get(e);
    };
    const say = (e, what) => found.push(`${what}: ${e.outerHTML.slice(0, 80)}`);
    for (const e of document.querySelectorAll("article, article *")) {
        const box = e.getBoundingClientRect();
        if (box.width > 0 && box.right > innerWidth + 1 && !inside(e.parentElement)) say(e, "cut off");
        const words = [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim());
        if (words && box.width > 0 && parseFloat(getComputedStyle(e).fontSize) < 11) say(e, "tiny");
    }
    if (document.scrollingElement.scrollWidth > innerWidth) found.push("the page moves sideways");
    return found;
}"""
"""What a reader with this window cannot read: what is cut off at the right and cannot be scrolled to, and
letters below 11 pixels. Tables and code may be scrolled."""


def test_every_page_opens_leads_somewhere_and_fits_a_phone(site, address, open_page, complaints):
    window, seen = open_page(DESKTOP), {}
    # Every page would load the words of all and make an index of them, which other tests look at.
    index = json.loads((site / "search/search_index.json").read_text("utf8"))
    few = json.dumps({**index, "docs": index["docs"][:1]})
    window.route("**/search/search_index.json", lambda route: route.fulfill(body=few))
    for name in pages_of(site):
        window.set_viewport_size(DESKTOP)
        window.goto(address + name, wait_until="load")
        seen[address + name] = window.evaluate(PARTS)
        window.set_viewport_size(PHONE)
        complaints += [f"{name}: on a phone, {what}" for what in window.evaluate(UNREADABLE)]
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


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        ("article.insertAdjacentHTML('beforeend', '<div style=\"width: 900px\">wide</div>')", "cut off"),
        ("article.querySelector('p').style.fontSize = '9px'", "tiny"),
        ("document.body.style.paddingLeft = '900px'", "the page moves sideways"),
    ],
)
def test_what_a_phone_cannot_show_is_found(address, open_page, spoil, found):
    window = open_page(PHONE)
    window.goto(address)
    assert window.evaluate(UNREADABLE) == []
    window.evaluate(f"(() => {{ const article = document.querySelector('article'); {spoil} }})()")
    assert any(what.startswith(found) for what in window.evaluate(UNREADABLE))


def test_a_phone_breaks_names_of_options_between_words(address, open_page):
    window = open_page(PHONE)
    window.goto(f"{address}reference/searchers/")
    names = window.locator("td:first-child code")
    assert "confirm.<wbr>least_<wbr>macs" in [name.inner_html() for name in names.all()]
    widths = "all => all.filter(e => e.scrollWidth > e.parentElement.clientWidth).map(e => e.outerHTML)"
    assert names.evaluate_all(widths) == []


def test_complaints_are_kept(address, open_page, complaints):
    window = open_page(DESKTOP)
    window.goto(address)
    with window.expect_event("console"):
        window.evaluate("console.error('broken')")
    with window.expect_event("response"):
        window.evaluate("fetch('gone.json')")
    with window.expect_event("requestfailed"):
        window.evaluate("fetch('http://nowhere.invalid/').catch(() => 0)")
    text = "\n".join(complaints)
    assert "console: broken" in text
    assert f"404: {address}gone.json" in text
    assert "from elsewhere: http://nowhere.invalid/" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_missing_is_said_so(address, open_page, complaints, scheme):
    window = open_page(DESKTOP, color_scheme=scheme)
    assert window.goto(f"{address}404.html").status == 200
    assert "404" in window.inner_text("main")
    assert window.evaluate("[...document.styleSheets].length") > 1
    assert complaints == []


def type_into_search(window, words):
    # What is typed before the index has come is lost, as the words in the box say. The box listens to keys,
    # not to its content: text that is put in needs a key after it.
    window.get_by_text("Type to start searching").wait_for(state="attached")
    box = window.locator("[data-md-component=search-query]")
    box.fill(words)
    box.press("End")


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("cdarts", "cdarts/"),
        ("zero_one", "reference/searchers/"),
        ("ChoiceBlock", "reference/nn/"),
        ("load_network", "reference/python/"),
    ],
)
def test_search_finds(address, open_page, complaints, words, page):
    window = open_page(DESKTOP)
    window.goto(address)
    type_into_search(window, words)
    results = window.locator(".md-search-result__link")
    results.first.wait_for()
    found = results.evaluate_all("all => all.map(a => a.href)")
    marked = [link for link in found if link.startswith(f"{address}{page}?h={words.lower()}")]
    assert marked, found
    window.goto(marked[0])
    window.locator("article mark").first.wait_for()
    assert complaints == []


def test_search_that_finds_nothing_says_so(address, open_page, complaints):
    window = open_page(PHONE)
    window.goto(address)
    window.locator(".md-header__button[for=__search]").click()  # the magnifying glass
    type_into_search(window, "xylophonist")
    window.get_by_text("No matching documents").wait_for(state="attached")
    assert complaints == []
