"""The site can be built, and every page is in its navigation."""

import pytest

from support.docs_blocks import DOCS
from support.docs_site import ALL, generate

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


def test_language_models_get_a_list_of_all_pages():
    nav = [{"Get started": ["start/install.md", {"More": ["reference/cli.md"]}]}, {"Home": "index.md"}]
    config = {"nav": nav, "site_url": "https://example.org/", "site_description": "Search"}
    lines = generate.llms_text(config).splitlines()
    assert lines[:3] == ["# nasforge", "", "> Search. Each page is a path below https://example.org/"]
    listed = [line.partition("): ")[0] for line in lines if line.startswith("- ")]
    assert listed == [
        "- [Install](https://example.org/start/install/",
        "- [Command line](https://example.org/reference/cli/",
        "- [nasforge](https://example.org/",
    ]
    assert "- [Install](https://example.org/start/install/): nasforge needs Python 3.11 or newer." in lines


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text("utf8").partition("\nnav:\n")[2]
    assert [name for name in ALL if f" {name}\n" not in navigation] == []
