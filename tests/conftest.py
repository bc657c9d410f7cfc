"""Settings for all tests: one torch thread, so that tests neither fight for cores nor depend on them."""

import gc
import os
import tempfile
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
# Networks are thousands of objects, which the collector would visit again and again: a fifth of all time.
gc.set_threshold(100_000, 50, 100)
# Tests run the code of recipes, which is noted in the state folder of the user.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="nasforge-state-")


@pytest.hookimpl(tryfirst=True)  # before marks are selected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the mark `campaign` imply `slow`."""
    for item in items:
        if item.get_closest_marker("campaign"):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and tables (``cifar10/``, ``nb201/``); tests that need it skip without it."""
    named = os.environ.get("NASFORGE_TEST_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no reference data: set NASFORGE_TEST_DATA to its folder")
    return folder
