"""Reports in a real browser: quiet, readable on a phone, in the dark, by keyboard and on paper."""

import pytest

from nasforge.report.write import write
from support.browser import PATIENCE, launched
from support.run_folders import write_bench, write_run, write_search

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    base = tmp_path_factory.mktemp("reports")
    run = write_run(base / "a", steps=30, epochs=20, choices=14, classes=[f"class {i}" for i in range(12)])
    other = write_run(base / "b", steps=20, seed=1)
    folders = {
        "run": [run],
        "search": [write_search(base / "search")],
        "runs": [run, other],
        "bench": [write_bench(base / "bench")],
    }
    return {name: write(given, base / f"{name}.html") for name, given in folders.items()}


@pytest.fixture
def open_report(browser, reports):
    """Open reports; the second value is the list of what a window complained of or asked for."""
    contexts = []

    def opened(name, viewport=DESKTOP, **settings):
        contexts.append(browser.new_context(viewport=viewport, **settings))
        page, noise = contexts[-1].new_page(), []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: noise.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: noise.append(f"error: {error}"))
        own = reports[name].as_uri()
        page.on("request", lambda r: r.url.startswith((own, "data:")) or noise.append(f"request: {r.url}"))
        page.goto(own)
        return page, noise

    yield opened
    for context in contexts:
        context.close()


FAULTS = """() => {
    document.querySelectorAll("details").forEach(one => { one.open = true; });
    const found = [], say = (what, e) => found.push(`${what}: ${e.outerHTML.slice(0, 90)}`);
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], [s, t, u]) => [r * a + s * (1 - a), g * a + t * (1 - a), b * a + u * (1 - a)];
    const paper = e => {
        if (!e) return [255, 255, 255];
        const own = rgba(getComputedStyle(e).backgroundColor);
        return own[3] === 1 ? own.slice(0, 3) : over(own, paper(e.parentElement));
    };
    const light = c => c.map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; })
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const moves = e => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
    const scrolls = e => e && (moves(e) || scrolls(e.parentElement));
    const fills = e => e.namespaceURI.endsWith("svg");
    for (const e of document.querySelectorAll("body *")) {
        const box = e.getBoundingClientRect(), style = getComputedStyle(e);
        if (!box.width || style.visibility === "hidden" || e.closest("script, style, .tip")) continue;
        const words = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (words) {
            const ink = fills(e) ? style.fill : style.color;
            const ground = paper(e.closest("svg") ? e.closest("svg").parentElement : e);
            const [a, b] = [light(over(rgba(ink), ground)), light(ground)].sort((x, y) => y - x);
            const boxed = e.closest(".drawing svg") && e.tagName === "text";
            const ratio = (a + .05) / (b + .05);
            if (!boxed && ratio < 4.5) say(`contrast ${ratio.toFixed(2)}`, e);
            const matrix = fills(e) ? e.getScreenCTM() : null;
            if (parseFloat(style.fontSize) * (matrix ? matrix.a : 1) < 10.5) say("tiny", e);
        }
        if (box.right > innerWidth + 1 && !scrolls(e.parentElement) && !e.closest("svg")) say("cut off", e);
        if (moves(e) && e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0
            && !e.querySelector("a, [tabindex]")) say("no keyboard", e);
        if (e.tagName === "IMG" && !e.alt) say("no alt", e);
        if (e.tagName === "IMG" && (!e.complete || !e.naturalWidth)) say("no picture", e);
        const label = e.getAttribute("aria-label") || e.querySelector("title");
        if (e.tagName === "svg" && !label) say("no label", e);
        if (e.tagName === "TH" && !e.scope) say("no scope", e);
    }
    const levels = [...document.querySelectorAll("h1, h2, h3")].map(h => +h.tagName[1]);
    levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) found.push("heading skipped"); });
    const named = document.documentElement.lang && document.title;
    if (!named || !document.querySelector("main")) found.push("no frame");
    if (document.scrollingElement.scrollWidth > innerWidth) found.push("the page moves sideways");
    return found;
}"""
"""What some readers cannot see, read or reach."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", ["run", "search", "runs", "bench"])
def test_a_report_is_quiet_and_can_be_read_by_all(open_report, name, viewport, scheme):
    page, noise = open_report(name, viewport, color_scheme=scheme)
    assert page.evaluate(FAULTS) == []
    assert noise == []


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        ("document.querySelector('.lead').style.color = 'rgb(160, 160, 160)'", "contrast"),
        ("document.querySelector('.plot text').style.fontSize = '7px'", "tiny"),
        ("document.querySelector('.tiles').style.width = '2000px'", "cut off"),
        ("document.querySelector('.thumbs img').alt = ''", "no alt"),
        ("document.querySelector('.plot').removeAttribute('aria-label')", "no label"),
        ("document.querySelector('th').removeAttribute('scope')", "no scope"),
    ],
)
def test_a_fault_is_found(open_report, spoil, found):
    page, _ = open_report("run")
    page.evaluate(spoil)
    assert any(fault.startswith(found) for fault in page.evaluate(FAULTS))


def test_another_script_does_not_run_and_nothing_can_be_sent(open_report):
    page, noise = open_report("run")
    failures = []
    page.on("requestfailed", lambda request: failures.append((request.url, request.failure)))
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=data: onerror=\"window.stolen = 1\">');"
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://example.invalid/x.png\">')"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.stolen") is None
    assert ("http://example.invalid/x.png", "csp") in failures
    assert sum("Content Security Policy" in text for text in noise) >= 2


def bring_into_view(page, target):
    """Scroll to ``target`` and wait until the page has heard of it: a scroll hides the words of a plot."""
    target.scroll_into_view_if_needed()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_line_tells_its_values_under_the_pointer(open_report):
    page, noise = open_report("run")
    plot = page.locator("#training svg.plot").nth(1)
    bring_into_view(page, plot)
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    tip = page.locator(".tip")
    assert tip.is_visible()
    # The last of 20 epochs has the accuracy 99; pixels are exact to a tenth.
    first, *values = tip.inner_text().replace("\n", " ").split()
    assert (first, values[0]) == ("epoch", "20")
    assert float(values[-1]) == pytest.approx(99, abs=0.3)
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    assert noise == []


def test_the_front_has_names_by_pointer_and_by_keyboard(open_report):
    page, _ = open_report("search")
    dot = page.locator("circle.front").first
    name = dot.get_attribute("aria-label").splitlines()[0]
    bring_into_view(page, dot)
    dot.hover()
    assert page.locator(".tip").inner_text().startswith(name)
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()
    dot.focus()
    assert page.locator(".tip").inner_text().startswith(name)


def test_the_words_of_a_focused_point_stay_while_the_page_scrolls(open_report):
    page, _ = open_report("search")
    tip, dot = page.locator(".tip"), page.locator("circle.front").first
    bring_into_view(page, dot)
    dot.focus()
    before = tip.bounding_box()["y"]
    page.evaluate("scrollBy(0, 20)")
    moved = "before => document.querySelector('.tip').getBoundingClientRect().y < before - 10"
    page.wait_for_function(moved, arg=before)
    dot.blur()
    page.evaluate("scrollBy(0, -20)")
    assert not tip.is_visible()


def test_paper_shows_everything_in_dark_ink(open_report):
    page, _ = open_report("run", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.locator("nav").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate("[...document.querySelectorAll('details')].some(one => one.open)")


def test_without_scripts_everything_is_still_there(open_report):
    page, noise = open_report("run", java_script_enabled=False)
    assert page.locator("svg.plot").count() > 5
    assert page.get_by_role("heading", name="Option weights").is_visible()
    assert noise == []
