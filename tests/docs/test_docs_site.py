"""The site can be built, and every page is in its navigation."""

import pytest

from support.docs_blocks import DOCS
from support.docs_site import ALL

ROOT = DOCS.parent


@pytest.mark.slow
def test_the_site_builds_without_a_warning(site):
    for page in (
        "index.html",
        "reference/cli/index.html",
        "write/space/index.html",
        "search/search_index.json",
    ):
        assert (site / page).is_file()


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text("utf8").partition("\nnav:\n")[2]
    assert [name for name in ALL if f" {name}\n" not in navigation] == []
