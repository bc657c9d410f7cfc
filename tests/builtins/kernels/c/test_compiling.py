"""Kernels in C: compiled once, beside and renamed; whatever goes wrong, torch computes."""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path

import pytest
import torch

from nasforge import files
from nasforge_plugins.kernels.c import compiling as native
from nasforge_plugins.kernels.c import winograd_operators
from nasforge_plugins.kernels.c.bundle_operators import BundleSizes, has_kernels
from nasforge_plugins.kernels.door import find_kernel

FOLDER, CACHE = native.FOLDER, os.environ.get("NASFORGE_CACHE")
SOURCES = sorted(path.name for path in FOLDER.glob("*.c"))
SIZES = BundleSizes(1, 1, 0, (3,), (2,), True)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path))
    monkeypatch.delenv("NASFORGE_NATIVE", raising=False)
    # The kernels themselves take seconds to compile.
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    (tmp_path / "bundle.c").write_text("int answer(void) { return 42; }")
    native.compiled.cache_clear()
    yield
    native.compiled.cache_clear()


needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, native.COMPILERS)), reason="there is no C compiler"
)


@needs_compiler
@pytest.mark.parametrize("dtype", native.REALS)
@pytest.mark.parametrize("source", SOURCES)
def test_there_is_nothing_that_does_not_compile(source, dtype, monkeypatch):
    """Where it does not, torch computes, and tests of kernels are skipped: nobody would see."""
    monkeypatch.setattr(native, "FOLDER", FOLDER)
    if CACHE is None:
        monkeypatch.delenv("NASFORGE_CACHE")  # they are kept for other tests
    else:
        monkeypatch.setenv("NASFORGE_CACHE", CACHE)
    assert native.compiled(dtype, source) is not None


@needs_compiler
def test_is_compiled_once(tmp_path, monkeypatch):
    assert native.compiled(torch.float32).answer() == 42
    (made,) = (tmp_path / "native").iterdir()
    assert made.suffix == ".so"
    native.compiled.cache_clear()

    def fail(*args, **kwargs):
        raise AssertionError("compiled again")

    monkeypatch.setattr(subprocess, "run", fail)
    assert native.compiled(torch.float32) is not None


@needs_compiler
def test_file_of_somebody_else_is_replaced(tmp_path, monkeypatch):
    assert native.compiled(torch.float32) is not None
    (made,) = (tmp_path / "native").iterdir()
    before = made.stat().st_ino
    native.compiled.cache_clear()
    fstat = os.fstat

    def of_somebody_else(descriptor):
        found = list(fstat(descriptor))
        found[stat.ST_UID] += 1001
        return os.stat_result(found)

    monkeypatch.setattr(files.os, "fstat", of_somebody_else)
    native.compiled(torch.float32)
    assert made.stat().st_ino != before


@needs_compiler
@pytest.mark.parametrize("spoil", ["flipped bit", "link", "open to others", "second name"])
def test_a_library_that_is_not_safe_is_compiled_anew(spoil, tmp_path):
    assert native.compiled(torch.float32).answer() == 42
    (made,) = (tmp_path / "native").iterdir()
    content, elsewhere = made.read_bytes(), tmp_path / "elsewhere.so"
    made.unlink()  # this process has mapped it
    if spoil == "flipped bit":
        made.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        made.chmod(0o700)
    elif spoil == "link":
        elsewhere.write_bytes(content)
        made.symlink_to(elsewhere)
    elif spoil == "open to others":
        made.write_bytes(content)
        made.chmod(0o777)
    else:
        elsewhere.write_bytes(content)
        os.link(elsewhere, made)
    native.compiled.cache_clear()
    assert native.compiled(torch.float32).answer() == 42
    (again,) = (tmp_path / "native").iterdir()
    assert again.read_bytes() == content
    assert stat.S_IMODE(again.lstat().st_mode) == 0o700
    assert again.lstat().st_nlink == 1


@needs_compiler
@pytest.mark.parametrize("unsafe", ["link", "above"])
def test_a_folder_that_others_can_change_is_not_used(unsafe, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    if unsafe == "link":
        (tmp_path / "elsewhere").mkdir()
        (cache / "native").symlink_to(tmp_path / "elsewhere")
    else:
        cache.chmod(0o777)
    monkeypatch.setenv("NASFORGE_CACHE", str(cache))
    with pytest.warns(UserWarning, match=r"compute without kernels.*(symbolic link|other users)"):
        assert native.compiled(torch.float32) is None
    assert not list(tmp_path.rglob("*.so"))


EVIL = """
#include <stdio.h>
__attribute__((constructor)) static void run(void) { fclose(fopen("%s", "w")); }
int answer(void) { return 0; }
"""


def load_as(user):
    """Load the kernels in a copy of this process that belongs to another user; return what it warns of.

    A new interpreter would not do: the other user may not be able to read this installation.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                library = native.compiled(torch.float32)
            os.write(writer, " ".join(str(warning.message) for warning in caught).encode())
            status = 0 if library is not None else 3
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as file:
        told = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 3), told
    return status == 0, told


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root, to act as two users")
def test_the_code_of_another_user_is_not_run(monkeypatch):
    with tempfile.TemporaryDirectory() as base:
        shared, sources, proof = Path(base, "shared"), Path(base, "sources"), Path(base, "proof/ran")
        for folder in (Path(base), shared, sources, proof.parent):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        proof.parent.chmod(0o777)
        os.chown(shared, 1001, 1001)
        (sources / "bundle.c").write_text("int answer(void) { return 42; }")
        monkeypatch.setattr(native, "FOLDER", sources)
        monkeypatch.setenv("NASFORGE_CACHE", str(shared))
        assert load_as(1001) == (True, "")
        (honest,) = (shared / "native").glob("*.so")
        Path(base, "evil.c").write_text(EVIL % proof)
        evil = Path(base, "evil.so")
        command = [
            shutil.which("cc") or "gcc",
            "-shared",
            "-fPIC",
            "-o",
            str(evil),
            str(Path(base, "evil.c")),
        ]
        subprocess.run(command, check=True)
        name = honest.name.rpartition("-")[0]
        planted = honest.with_name(f"{name}-{hashlib.sha256(evil.read_bytes()).hexdigest()}.so")
        shutil.copy(evil, planted)
        honest.unlink()
        os.chown(planted, 1001, 1001)
        planted.chmod(0o755)
        for mode in (0o755, 0o777, 0o1777):
            (shared / "native").chmod(mode)
            for user in (65534, 0):
                loaded, told = load_as(user)
                assert not loaded
                assert "belongs to another user" in told
                assert not proof.exists()
        assert load_as(1001)[0]  # one's own code is
        assert proof.exists()


def test_can_be_switched_off(monkeypatch):
    x = torch.zeros(2, 5, 5, 3)
    monkeypatch.setattr(winograd_operators, "compiled", lambda *given: True)
    assert find_kernel("convolution", x) is not None
    monkeypatch.setenv("NASFORGE_NATIVE", "0")
    assert find_kernel("convolution", x) is None


@pytest.mark.parametrize("trouble", ["no compiler", "it fails", "it hangs", "cannot be loaded", "no folder"])
def test_torch_computes_instead(trouble, monkeypatch, tmp_path):
    def run(command, **kwargs):
        if trouble == "it fails":
            raise subprocess.CalledProcessError(1, command)
        if trouble == "it hangs":
            raise subprocess.TimeoutExpired(command, 1)
        Path(command[command.index("-o") + 1]).write_bytes(b"no library")

    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "other"))
    if trouble == "no compiler":
        monkeypatch.setattr(native.shutil, "which", lambda name: None)
    elif trouble == "no folder":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "file"))
    else:
        monkeypatch.setattr(subprocess, "run", run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert native.compiled(torch.float32) is None
        assert not has_kernels(torch.zeros(2, 3, 5, 5), SIZES)


@needs_compiler
def test_what_there_are_kernels_for():
    x = torch.zeros(2, 3, 5, 5)
    assert has_kernels(x, SIZES)
    assert not has_kernels(x.half(), SIZES)
    assert not has_kernels(x.to("meta"), SIZES)
    assert not has_kernels(x[:0], SIZES)
    assert not has_kernels(x, SIZES._replace(kernels=(7,)))
    assert not has_kernels(x, SIZES._replace(stride=3))
