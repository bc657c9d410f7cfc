"""The site as it is published: built once, served below a path, opened in a browser that keeps complaints."""

import functools
import http.server
import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support.browser import PATIENCE, launched
from support.docs_blocks import DOCS

TOOLS = ("mkdocs", "material", "mkdocstrings_handlers")
HOME = "/nasforge/"
"""Where the site lies on its server: not at the root, as on most hosts of documentation."""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Folder of the built site; mkdocs fails on every warning.

    ``NASFORGE_TEST_SITE`` names one that was built from this checkout, with the `SITE_URL` below; its last
    folder is that of `HOME`.
    """
    if built_already := os.environ.get("NASFORGE_TEST_SITE"):
        return Path(built_already).resolve()
    if missing := [name for name in TOOLS if not importlib.util.find_spec(name)]:
        pytest.skip(f"the site's tools are not installed: {', '.join(missing)}")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    built, mine = shared / "site-built", shared / "site-mine"
    folder = shared / "site" / HOME[1:]
    try:
        mine.mkdir()
    except FileExistsError:  # another process builds it
        give_up = time.monotonic() + PATIENCE / 100
        while not built.exists():
            assert time.monotonic() < give_up, "the process that builds the site is gone"
            time.sleep(0.2)
    else:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
        environment = {**os.environ, "SITE_URL": f"http://localhost{HOME}"}
        done = subprocess.run(
            command, cwd=DOCS.parent, env=environment, capture_output=True, text=True, check=False
        )
        (shared / "site-log").write_text(done.stderr)
        (shared / "site-built.new").write_text(str(done.returncode))
        (shared / "site-built.new").rename(built)
    assert built.read_text() == "0", (shared / "site-log").read_text()[-3000:]
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for everything a page asks for

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served; on several threads, as a page asks for much at once."""
    handler = functools.partial(Quiet, directory=site.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{HOME}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture
def complaints():
    """What windows that ``open_page`` opened complained of."""
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
