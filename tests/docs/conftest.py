"""The site as it is published: built once, whatever the number of test processes, and served below a path."""

import functools
import http.server
import importlib.util
import os
import subprocess
import sys
import threading
import time

import pytest

from docs_blocks import DOCS

TOOLS = ("mkdocs", "material", "mkdocstrings_handlers")
HOME = "/nasforge/"
"""Where the site lies on its server: not at the root, as on most hosts of documentation."""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Folder of the built site; mkdocs fails on every warning."""
    if missing := [name for name in TOOLS if not importlib.util.find_spec(name)]:
        pytest.skip(f"the site's tools are not installed: {', '.join(missing)}")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    built, mine = shared / "site-built", shared / "site-mine"
    try:
        mine.mkdir()
    except FileExistsError:  # another process builds it
        while not built.exists():
            time.sleep(0.2)
    else:
        command = [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--site-dir",
            shared / "site" / HOME[1:],
        ]
        environment = {**os.environ, "SITE_URL": f"http://localhost{HOME}"}
        done = subprocess.run(
            command, cwd=DOCS.parent, env=environment, capture_output=True, text=True, check=False
        )
        (shared / "site-log").write_text(done.stderr)
        (shared / "site-built.new").write_text(str(done.returncode))
        (shared / "site-built.new").rename(built)
    assert built.read_text() == "0", (shared / "site-log").read_text()[-3000:]
    return shared / "site" / HOME[1:]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served; on several threads, as a page asks for much at once."""
    handler = functools.partial(Quiet, directory=site.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{HOME}"
        server.shutdown()
