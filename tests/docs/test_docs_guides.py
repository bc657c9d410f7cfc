"""Every guide is followed literally: a fresh environment, an empty folder, and the commands as printed."""

import os
import time

import pytest

from support.docs_blocks import DOCS, blocks_of, write
from support.environments import ROOT, build_wheel, install, new_environment, run_beside, succeed

pytestmark = pytest.mark.campaign

GUIDES = sorted((DOCS / "write").glob("*.md"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the wheel once, into an environment that the others see; return its packages."""
    pytest.importorskip("hatchling", reason="hatchling, the build backend, is not installed")
    folder = tmp_path_factory.mktemp("installed")
    python = new_environment(folder / "env")
    install(python, build_wheel(ROOT, folder), cwd=folder)
    return next((folder / "env/lib").glob("python*/site-packages"))


def clocks():
    """Return seconds by the clock, and those that the processes begun here have computed."""
    spent = os.times()
    return time.perf_counter(), spent.children_user + spent.children_system


def follow_literally(page, python, folder):
    """Type what a page shows, where it says; return what was printed, and the seconds of each block."""
    printed, seconds = [], []
    for number, block in enumerate(blocks_of(page)):
        if block.title:
            write(block, folder)
            continue
        if not (block.run or block.shell):
            continue
        began = clocks()
        if block.language == "python":
            snippet = folder / f"snippet_{number}.py"
            snippet.write_text(block.body, "utf8")
            printed.append(succeed(run_beside(python, ["python", snippet.name], folder)))
        else:  # a shell of its own; where it ends, the next one begins
            typed = f"set -euo pipefail\n{block.body}\npwd >&3"
            command = ["bash", "-c", f"exec 3>'{folder.parent}/where'\n{typed}"]
            printed.append(succeed(run_beside(python, command, folder)))
            folder = type(folder)((folder.parent / "where").read_text().strip())
        taken = [now - then for now, then in zip(clocks(), began, strict=True)]
        seconds.append((*taken, block.body.strip().splitlines()[0]))
    return "\n".join(printed), seconds


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_followed_literally_ends_with_a_tested_package(
    page, installed, tmp_path, record_testsuite_property
):
    python = new_environment(tmp_path / "env", scripts=("nasforge", "pip", "pytest"), beside=installed)
    folder = tmp_path / "empty"
    folder.mkdir()
    printed, seconds = follow_literally(page, python, folder)
    by_clock, computed = (sum(row[i] for row in seconds) for i in (0, 1))
    record_testsuite_property(f"{page.stem}_seconds", round(by_clock, 1))
    record_testsuite_property(f"{page.stem}_processor_seconds", round(computed, 1))
    print(f"\n{page.name}: {by_clock:.1f} s, of which a processor worked {computed:.1f} s")
    for waited, worked, first in seconds:
        print(f"  {waited:6.1f} s {worked:6.1f} s  {first}")
    assert " passed" in printed
    assert "failed" not in printed.replace("0 failed", "")
    if page.stem == "space":
        assert "ok       one_hot_law" in printed
        assert (folder / "funnel" / "runs" / "funnel" / "test" / "result.json").is_file()
        assert list((folder / "funnel" / "dist").glob("funnel-*.whl"))
