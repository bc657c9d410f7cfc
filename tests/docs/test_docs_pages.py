"""Every page that shows code is followed, from an empty folder."""

import pytest

from nasforge.plugins import KINDS
from support.docs_blocks import DOCS, blocks_of, commands_of, follow

PAGES = sorted(DOCS.rglob("*.md"))
NAMES = [str(page.relative_to(DOCS)) for page in PAGES]
FOLLOWED = [page for page in PAGES if any(b.run for b in blocks_of(page))]
GUIDES = sorted((DOCS / "write").glob("*.md"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Keep what pages import out of the user's data folder."""
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_the_page_works_as_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert follow(page, tmp_path) == sum(b.run and not b.slow and not b.title for b in blocks_of(page))


@pytest.mark.campaign
@pytest.mark.parametrize(
    "page",
    [p for p in FOLLOWED if p not in GUIDES and any(b.slow for b in blocks_of(p))],
    ids=lambda page: page.stem,
)
def test_the_page_works_to_its_end(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert follow(page, tmp_path, slow=True)


def test_there_is_a_guide_for_every_kind_that_people_write():
    assert {page.stem for page in GUIDES} == set(KINDS)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_show_nothing_that_is_not_run(page):
    blocks = blocks_of(page)
    shown = [b for b in blocks if b.language in ("python", "toml", "bash")]
    assert [b.body for b in shown if not (b.run or b.shell or b.title)] == []
    commands = [command[:2] for block in shown for command in commands_of(block)]
    assert ["plugins", "check"] in commands
    assert ["new", "plugin"] in commands
