"""Settings of the fuzz suite: the same inputs in every run, and a summary at the end."""

import pytest
import torch.utils.flop_counter  # noqa: F401 - its import of Triton takes seconds, once per process
from hypothesis import HealthCheck, settings

from support.fuzzing import SCALE, summary, workplace

settings.register_profile(
    "fuzz",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _profile(monkeypatch, tmp_path):
    """Keep data and caches of the user out, and use the profile in this folder alone."""
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NASFORGE_NATIVE", "0")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def place(tmp_path_factory):
    """Return a context manager that makes an empty working directory for one input."""
    return lambda: workplace(tmp_path_factory)


def pytest_terminal_summary(terminalreporter):
    lines = summary()
    if lines:
        terminalreporter.section(f"inputs of the fuzz suite (NASFORGE_FUZZ={SCALE})")
        for line in lines:
            terminalreporter.write_line(line)
