"""Steps of two checkouts in turns, with stand-ins for their processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the installed package does not contain the benchmarks

from benchmarks import versions


class Pretended:
    """A checkout whose steps take as long as its list says."""

    steps: list[Path] = []  # noqa: RUF012
    seconds: dict[Path, list[float]] = {}  # noqa: RUF012

    def __init__(self, root, row, arguments=()):
        self.root, self.arguments = root, arguments

    def step(self):
        self.steps.append(self.root)
        return self.seconds[self.root].pop(0)

    def close(self):
        pass


def test_rounds_begin_by_turns_and_the_first_warms_up(tmp_path, monkeypatch, capsys):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "rows.py").touch()
    monkeypatch.setattr(versions, "Checkout", Pretended)
    monkeypatch.setattr(Pretended, "steps", [])
    monkeypatch.setattr(Pretended, "seconds", {tmp_path: [99.0, 2.0, 4.0], versions.HERE: [77.0, 1.0, 6.0]})
    versions.main(["--before", str(tmp_path), "--rows", "darts", "--pairs", "2", "--batch", "8"])
    here = versions.HERE
    assert Pretended.steps == [here, tmp_path, tmp_path, here, here, tmp_path]
    *_, line = capsys.readouterr().out.splitlines()
    assert line.endswith("8 cells, batch 8 | 3.00 | 3.50 | 1.000 (0.500 to 1.500) |")


def test_a_folder_without_benchmarks_is_no_checkout(tmp_path, capsys):
    with pytest.raises(SystemExit):
        versions.main(["--before", str(tmp_path)])
    assert "there is no 'benchmarks/rows.py'" in capsys.readouterr().err
