"""Differences of Windows that Linux can imitate: encodings of pipes, flags of files."""

import io
import json
import os
import runpy
import sys

import pytest

from nasforge import files
from nasforge.cli import main
from nasforge.cli.output import print_json


def pipe():
    """Imitate standard output of Windows that is no terminal."""
    return io.TextIOWrapper(io.BytesIO(), encoding="cp1252")


def written(stream):
    stream.flush()
    return stream.buffer.getvalue().decode("cp1252")


def test_letters_that_a_pipe_does_not_know_are_replaced(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["nasforge", "recipes", "list"])
    monkeypatch.setattr(sys, "stdout", out := pipe())
    with pytest.raises(SystemExit, match="0"):
        main()
    assert " ?-DARTS in the NAS-Bench-201 space" in written(out)


def test_data_for_programs_keep_their_letters(monkeypatch):
    monkeypatch.setattr(sys, "stdout", out := pipe())
    print_json({"method": "Λ-DARTS", "size": "2 µm"})
    assert json.loads(written(out)) == {"method": "Λ-DARTS", "size": "2 µm"}


def test_files_of_the_cache_are_read_as_bytes(monkeypatch):
    monkeypatch.setattr(os, "O_BINARY", 0x8000, raising=False)
    assert runpy.run_path(files.__file__)["READING"] & 0x8000


def test_a_file_is_flushed_through_a_descriptor_that_may_write(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    opened, real = [], os.open
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda path, flags: opened.append(flags) or real(path, flags))
        patch.setattr(os, "name", "nt")
        files.sync(tmp_path / "file")
    assert opened == [os.O_RDWR]
