"""Damaged run folders: whatever is wrong in them is worded or put right."""

import shutil
import warnings
from os import environ
from random import Random

import pytest

from nasforge.cli import run_command
from support.damage import damage
from support.stopped_runs import write_runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return finished and stopped runs."""
    return write_runs(tmp_path_factory.mktemp("whole"))


def commands(folder):
    yield ["run", str(folder)]
    yield ["compare", str(folder)]
    if (folder / "train").exists():
        yield ["predict", str(folder), str(folder)]


# NASFORGE_FUZZ=6 damages 200 folders, as the long campaign of tests/fuzz does.
CASES = 200 if float(environ.get("NASFORGE_FUZZ", "1")) > 1 else 15


@pytest.mark.parametrize("cases", [CASES])
def test_a_damaged_folder_is_worded_or_recovered(folders, tmp_path, capsys, cases):
    draw, unworded = Random(cases), []
    for case in range(cases):
        copy = tmp_path / f"{case}"
        shutil.copytree(draw.choice(folders), copy)
        files = sorted(p for p in copy.rglob("*") if p.is_file() and p.name != ".lock")
        told = damage(draw.choice(files), draw)
        for command in commands(copy):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                status = run_command(command)
            said = capsys.readouterr().err
            if "(unexpected" in said or status not in (0, 1, 2) or len(said) > 4000 or "\x1b[31m" in said:
                unworded.append((case, told, command[0], said[-300:]))
        shutil.rmtree(copy)
    assert not unworded, "\n".join(map(str, unworded))
