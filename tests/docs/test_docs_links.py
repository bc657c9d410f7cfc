"""Links of the README and of every page lead somewhere, generated pages and headings included."""

import re

import pytest

from support.docs_blocks import DOCS
from support.docs_site import ALL, WRITTEN, generate

ROOT = DOCS.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def slug(heading):
    """Make an anchor as Python-Markdown does."""
    text = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", text)


def anchors(text):
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)}


def broken(folder, text, pages):
    for link in LINK.findall(FENCED.sub("", text)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = (folder / target).resolve() if target else None
        name = str(path.relative_to(DOCS)) if path and path.is_relative_to(DOCS) else ""
        content = text if path is None else pages.get(name)
        missing = content is None and not path.exists()
        if missing or (anchor and anchor not in anchors(content or "")):
            yield link


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_links_of_a_page(name):
    assert list(broken((DOCS / name).parent, WRITTEN[name], ALL)) == []


@pytest.mark.parametrize("name", sorted(set(ALL) - set(WRITTEN) - set(generate.OUTSIDE)))
def test_links_of_a_generated_page(name):
    assert list(broken((DOCS / name).parent, ALL[name], ALL)) == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_a_file_beside_the_docs(name):
    assert list(broken(ROOT, (ROOT / name).read_text("utf8"), WRITTEN)) == []


def test_a_broken_link_is_found():
    page = "# Here\n[a](missing.md) [b](index.md#nowhere) [c](#here) [d](https://example.org)"
    assert list(broken(DOCS, page, ALL)) == ["missing.md", "index.md#nowhere"]
