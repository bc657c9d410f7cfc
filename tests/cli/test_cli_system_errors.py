"""Errors of the operating system on the command line: each is one worded error, and nothing hangs."""

import json
import os
import resource
import shutil
import signal
import sys

import pytest

from nasforge.cli import run_command
from support.fuzzing import attempt

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, fork and limits of POSIX")

SEARCH = """extends = "search_nasbench201_table"
[run]
name = "r"
threads = 1
[searcher]
evaluations = 6
population = 3
tournament = 2
"""
TRAIN = """[run]
name = "r"
threads = 1
report = false
[data]
use = "synthetic"
num_classes = 3
image_size = 16
train_images = 48
test_images = 12
batch_size = 12
[space]
use = "nasbench201"
channels = 4
cells = 1
[searcher]
use = "fixed"
arch = "resnet"
[train]
use = "train"
epochs = 2
batch_size = 24
"""
NOBODY = 65534


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "r.toml").write_text(SEARCH)
    (tmp_path / "train.toml").write_text(TRAIN)
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    return tmp_path


WRONG_PLACES = (
    "file",
    "file/x",
    "broken/x",
    "loop",
    "fifo",
    "/proc/x",
    "/etc/passwd",
    "a" * 256,
    "/dev/full",
)


@pytest.mark.parametrize("out", WRONG_PLACES)
def test_places_for_runs(place, out):
    words = (
        ["run", "r.toml", "--out", out],
        ["bench", "r.toml", "--seeds", "1", "--budget", "5", "--out", out],
    )
    attempt("places", out, *words)
    assert (place / "file").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name", ["file", "folder", "broken", "loop", "fifo", "a" * 256, "/dev/zero", "/proc/self/mem"]
)
def test_what_is_read(place, name):
    commands = (
        ["check", name],
        ["run", name],
        ["tables", "import", name],
        ["compare", name],
        ["report", name],
        ["predict", name, name],
        ["init", "first.toml", "--images", name],
        ["check", "train.toml", "--deep", "--set", "data.use=image-folder", "--set", f"data.root={name}"],
        ["check", "train.toml", "--deep", "--set", "data.use=npz", "--set", f"data.path={name}"],
        [
            "check",
            "r.toml",
            "--set",
            f"constraints.latency={name}.json",
            "--set",
            "constraints.max_latency_ms=1",
        ],
        ["check", "r.toml", "--set", f"plugins.modules=./{name}"],
    )
    attempt("files", name, *commands)


@pytest.mark.parametrize("out", ["file/x", "folder", "broken/x/y", "loop", "/proc/x", "a" * 256])
def test_what_is_written(place, out):
    commands = (
        ["inspect", "nasbench201", "--arch", "resnet", "--svg", out],
        ["schema", "--out", out],
        ["recipes", "copy", "quickstart", out],
        ["report", "folder", "--out", out],
        ["new", "plugin", "thing", "--out", out],
    )
    attempt("outputs", out, *commands)


def in_child(prepare, words, log):
    """Run a command in a forked process after a preparation; return its status and what it said."""
    pid = os.fork()
    if not pid:
        status = 70
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(descriptor, 2)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            prepare()
            status = run_command(words)
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), log.read_text()


def limit_files(size):
    def prepare():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return prepare


def limit_open():
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def be_nobody():
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def worded(status, said):
    assert status == 1, said
    assert said.startswith("error: ") or "\nerror: " in said, said
    assert "unexpected" not in said, said
    assert "Traceback" not in said, said


@pytest.mark.parametrize("size", [300, 2_000, 8_000])
@pytest.mark.parametrize("recipe", ["r.toml", "train.toml"])
def test_a_full_disk_at_any_file_loses_nothing(place, recipe, size):
    """Small limits stop the first files of a run, larger ones its checkpoints and weights."""
    status, said = in_child(limit_files(size), ["run", recipe, "--out", "full"], place / "log")
    worded(status, said)
    assert not list((place / "full").rglob("*.partial"))
    for out in ("full", "straight"):
        assert run_command(["run", recipe, "--out", out]) == 0
    stage = "test" if recipe == "train.toml" else "derive"
    found = [
        json.loads((place / out / "r" / stage / "result.json").read_text()) for out in ("full", "straight")
    ]
    for result in found:
        result.pop("seconds")
        result.pop("seconds_per_stage", None)
    assert found[0] == found[1]


def test_too_many_open_files(place):
    status, said = in_child(limit_open, ["run", "r.toml"], place / "log")
    worded(status, said)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_folders_that_may_not_be_written(place):
    """Root may write everywhere, so the command runs as another user."""
    for path in (place, *place.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o005)
    assert run_command(["run", "train.toml"]) == 0
    (place / "log").touch(mode=0o666)
    (place / "log").chmod(0o666)
    for words in (["run", "r.toml"], ["run", "runs/r"], ["schema", "--out", "x.json"], ["report", "runs/r"]):
        status, said = in_child(be_nobody, words, place / "log")
        if words == ["run", "runs/r"] and status == 0:
            continue  # nothing was left to do
        worded(status, said)
    shutil.rmtree(place / "runs")
