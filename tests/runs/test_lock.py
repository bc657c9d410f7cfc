"""The lock of a folder: held once, never through a link, and without locks of the system too."""

import errno
import os
import subprocess
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest

from nasforge.errors import RunError
from nasforge.runs.folder import RunFolder

RESOLVED = {"run": {"name": "x", "seed": 0}}

ASK = (
    "import sys; from pathlib import Path; from nasforge.runs.folder import RunFolder\n"
    "from nasforge.errors import RunError\n"
    "try:\n"
    "    with RunFolder(Path(sys.argv[1])).locked(): print('held')\n"
    "except RunError as error: print(error)\n"
)


def ask(folder: RunFolder) -> str:
    """What a second process hears."""
    command = [sys.executable, "-c", ASK, str(folder.path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "x")


@pytest.fixture
def no_locks(monkeypatch):
    """Makes a file system without locks; how it says so is up to the test."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(code):
        def flock(file, operation):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(fcntl, "flock", flock)

    return refuse


def test_two_processes_do_not_share_a_folder(folder):
    with folder.locked():
        folder.claim(RESOLVED, "")
        second = ask(folder)
    assert second == (
        f"{folder.path}: another process is working in this folder. Wait for it, or choose another name with "
        "--set run.name=….\n"
    )
    assert ask(folder) == "held\n"


def test_one_process_does_not_hold_a_folder_twice(folder):
    with folder.locked():
        with pytest.raises(RunError, match="another process"), folder.locked():
            pass
        assert "another process" in ask(folder)


def test_a_lock_without_a_run_leaves_no_folder(folder):
    with pytest.raises(RunError), folder.locked():
        raise RunError("no device")
    assert not folder.path.exists()


def test_a_folder_of_something_else_is_left_as_it_was(folder):
    folder.path.mkdir()
    (folder.path / "photo.jpg").touch()
    with pytest.raises(RunError, match="not a run folder"), folder.locked():
        folder.claim(RESOLVED, "")
    assert names(folder.path) == ["photo.jpg"]


def test_a_lock_that_was_there_stays(folder):
    with folder.locked():
        folder.claim(RESOLVED, "")
    before = names(folder.path)
    assert ".lock" in before or sys.platform == "win32"
    with folder.locked():
        pass
    assert names(folder.path) == before


@pytest.mark.parametrize("link", [".lock", ".lock.soft"])
@pytest.mark.parametrize("target", ["notes.txt", "nothing"])
def test_a_link_is_not_followed(folder, tmp_path, target, link):
    folder.path.mkdir()
    (tmp_path / "notes.txt").write_text("keep me")
    (folder.path / link).symlink_to(tmp_path / target)
    with pytest.raises(RunError, match=rf"{link}: is a symbolic link, which is not followed\. Delete it\.$"):
        folder.locked().__enter__()
    assert (tmp_path / "notes.txt").read_text() == "keep me"
    assert not (tmp_path / "nothing").exists()
    assert link in names(folder.path)


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS])
def test_without_locks_a_marker_takes_their_place_and_a_warning_says_so(folder, no_locks, code):
    no_locks(code)
    for _ in range(2):
        held = folder.locked()
        with pytest.warns(UserWarning, match=r"has no locks .* \.lock\.soft marks"):
            held.__enter__()
        with ExitStack() as stack:
            stack.push(held)
            folder.claim(RESOLVED, "")
            assert ".lock.soft" in names(folder.path)
            with pytest.raises(RunError, match=rf"\(process {os.getpid()} on \S+; if it is dead, delete"):
                folder.locked().__enter__()
            # A process that does get a lock sees the marker too.
            assert "another process is working in this folder (process" in ask(folder)
        assert ".lock.soft" not in names(folder.path)


@pytest.mark.filterwarnings("ignore:.*has no locks")
def test_without_locks_a_refused_run_leaves_no_folder(folder, no_locks):
    no_locks(errno.ENOTSUP)
    with pytest.raises(RunError, match="no device"), folder.locked():
        raise RunError("no device")
    assert not folder.path.exists()


@pytest.mark.filterwarnings("ignore:.*has no locks")
@pytest.mark.parametrize("locks", [True, False])
def test_the_marker_of_a_process_that_died_here_does_not_count(folder, no_locks, locks):
    folder.path.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    (folder.path / ".lock.soft").write_text(f"{dead.pid}\n{os.uname().nodename}\n")
    if not locks:
        no_locks(errno.ENOTSUP)
    with folder.locked():
        folder.claim(RESOLVED, "")
    assert ".lock.soft" not in names(folder.path)


@pytest.mark.filterwarnings("ignore:.*has no locks")
@pytest.mark.parametrize("locks", [True, False])
def test_the_marker_of_another_computer_counts_until_it_is_deleted(folder, no_locks, locks):
    folder.path.mkdir()
    (folder.path / ".lock.soft").write_text("4711\nelsewhere\n")
    if not locks:
        no_locks(errno.ENOTSUP)
    with pytest.raises(RunError, match=r"process 4711 on elsewhere; if it is dead, delete \.lock\.soft"):
        folder.locked().__enter__()
    (folder.path / ".lock.soft").unlink()
    with folder.locked():
        pass


def test_another_error_has_its_own_words(folder, no_locks):
    no_locks(errno.EIO)
    with pytest.raises(RunError, match=r"x: the folder cannot be locked \(.*\)\. Make it writable, or"):
        folder.locked().__enter__()
    assert not folder.path.exists()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder_is_reported(folder, monkeypatch, code):
    """Root may write anywhere, so the system's refusal is played."""
    folder.path.mkdir()
    opened = os.open

    def refuse(path, flags, *more, **named):
        if os.fspath(path).endswith(".lock") and flags & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RunError) as caught:
        folder.locked().__enter__()
    reason = os.strerror(code)
    assert str(caught.value) == (
        f"{folder.path}: the folder cannot be locked ({reason}). Make it writable, or choose another place "
        "with --out."
    )
    assert names(folder.path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_reported(folder):
    folder.path.mkdir()
    folder.path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="the folder cannot be locked"):
            folder.locked().__enter__()
        with pytest.raises(RunError, match="the folder cannot be made"):
            RunFolder(folder.path / "y").locked().__enter__()
    finally:
        folder.path.chmod(0o700)


def test_a_file_in_the_place_of_the_folder_is_reported(folder):
    folder.path.touch()
    with pytest.raises(
        RunError, match=r"x: the folder cannot be made \(File exists\)\. Choose another place"
    ):
        folder.locked().__enter__()


def test_nothing_is_said_about_locks_that_work(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with folder.locked():
            pass
