"""The site can be built, and every page is in its navigation."""

import importlib.util
import subprocess
import sys

import pytest

from docs_blocks import DOCS
from docs_site import ALL

ROOT = DOCS.parent


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    missing = [n for n in ("mkdocs", "material", "mkdocstrings_handlers") if not importlib.util.find_spec(n)]
    if missing:
        pytest.skip(f"the site's tools are not installed: {', '.join(missing)}")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    for page in (
        "index.html",
        "reference/cli/index.html",
        "write/space/index.html",
        "search/search_index.json",
    ):
        assert (tmp_path / "site" / page).is_file()


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text("utf8").partition("\nnav:\n")[2]
    assert [name for name in ALL if f" {name}\n" not in navigation] == []
