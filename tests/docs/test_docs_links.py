"""Links of the README and of every page lead somewhere, generated pages and headings included."""

import pkgutil
import re

import pytest

from support.docs_blocks import DOCS
from support.docs_site import ALL, GENERATED, WRITTEN, generate

ROOT = DOCS.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def slug(heading):
    """Make an anchor as Python-Markdown does."""
    text = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", text)


def anchors(text):
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)}


def is_documented(name, text):
    """Whether a page of the Python reference describes a public name of one of its modules."""
    for module in re.findall(r"^::: (\S+)$", text, re.MULTILINE):
        if name.startswith(f"{module}."):
            return not name.rpartition(".")[2].startswith("_") and bool(pkgutil.resolve_name(name))
    return False


def broken(folder, page, pages):
    for link in LINK.findall(FENCED.sub("", page)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = (folder / target).resolve() if target else None
        name = str(path.relative_to(DOCS)) if path and path.is_relative_to(DOCS) else ""
        content = page if path is None else pages.get(name)
        missing = content is None and not path.exists()
        text = content or ""
        if missing or (anchor and anchor not in anchors(text) and not is_documented(anchor, text)):
            yield link


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_links_of_a_page(name):
    assert list(broken((DOCS / name).parent, WRITTEN[name], ALL)) == []


@pytest.mark.parametrize("name", sorted(set(GENERATED) - set(generate.OUTSIDE)))
def test_links_of_a_generated_page(name):
    assert list(broken((DOCS / name).parent, ALL[name], ALL)) == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_a_file_beside_the_docs(name):
    assert list(broken(ROOT, (ROOT / name).read_text("utf8"), WRITTEN)) == []


def test_links_work_as_files():
    """Readers of the repository follow links of the Markdown without a built site."""
    files = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), ROOT / "examples" / "README.md"]
    dead = [
        f"{file.relative_to(ROOT)}: {link}"
        for file in files
        for link in LINK.findall(FENCED.sub("", file.read_text("utf8")))
        if not re.match(r"[a-z]+:|#", link) and not (file.parent / link.partition("#")[0]).exists()
    ]
    assert dead == []


def test_generated_pages_have_a_file_with_their_heading():
    for name in set(GENERATED) - set(generate.OUTSIDE):
        if not name.startswith("notebooks/"):
            assert WRITTEN[name].splitlines()[0] == GENERATED[name].splitlines()[0]


def test_a_broken_link_is_found():
    page = "# Here\n[a](missing.md) [b](index.md#nowhere) [c](#here) [d](https://example.org)"
    assert list(broken(DOCS, page, ALL)) == ["missing.md", "index.md#nowhere"]
    page = "[a](reference/contracts.md#nasforge.space.SearchSpace) [b](index.md#nasforge.space.SearchSpace)"
    assert list(broken(DOCS, page, ALL)) == ["index.md#nasforge.space.SearchSpace"]
