"""A Chromium that is installed already, for tests that look at pages; without one they are skipped."""

import shutil
from contextlib import contextmanager

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = [  # a browser that asks nobody for updates, and that runs as root in a container
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
]
PATIENCE = 120_000
"""Milliseconds: a busy machine is slow, and only something that never comes is a failure."""


@contextmanager
def launched():
    """Provide a browser with a new profile."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"there is no browser here: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, headless=True, args=QUIET)
        yield browser
        browser.close()
