"""Kernels in C: compiled once, beside and renamed; whatever goes wrong, torch computes."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

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
    monkeypatch.setattr(native.os, "getuid", lambda: made.stat().st_uid + 1)
    native.compiled(torch.float32)
    assert made.stat().st_ino != before


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
    assert native.compiled(torch.float32) is None
    assert not has_kernels(torch.zeros(2, 3, 5, 5), SIZES)


def test_wheels_bring_the_sources(tmp_path):
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[4]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    sources = {path.name for path in FOLDER.iterdir() if path.suffix in {".c", ".h"}}
    assert "bundle.c" in sources
    assert {f"nasforge_plugins/kernels/c/{name}" for name in sources} <= set(names)


@needs_compiler
def test_what_there_are_kernels_for():
    x = torch.zeros(2, 3, 5, 5)
    assert has_kernels(x, SIZES)
    assert not has_kernels(x.half(), SIZES)
    assert not has_kernels(x.to("meta"), SIZES)
    assert not has_kernels(x[:0], SIZES)
    assert not has_kernels(x, SIZES._replace(kernels=(7,)))
    assert not has_kernels(x, SIZES._replace(stride=3))
