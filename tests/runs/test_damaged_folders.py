"""Damaged run folders: whatever is wrong in them is worded or put right."""

import shutil
import warnings
from collections import Counter
from os import environ
from random import Random

import pytest

from nasforge.cli import run_command
from support.damage import damage
from support.stopped_runs import write_runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return finished and stopped runs, and a bench."""
    base = tmp_path_factory.mktemp("whole")
    runs = write_runs(base)
    (base / "bench.toml").write_text(BENCH)
    assert run_command(["bench", str(base / "bench.toml"), "--out", str(base)]) == 0
    return [*runs, base / "b"]


BENCH = """[run]
name = "b"
[space]
use = "nasbench201"
[searcher]
use = "random"
evaluations = 4
[evaluator]
use = "tabular"
[bench]
searchers = ["local-search"]
seeds = 2
budget = 4
"""


def commands(folder):
    yield ["report", str(folder)]
    yield ["compare", str(folder)]
    if (folder / "train").exists():
        yield ["predict", str(folder), str(folder)]
        yield ["export", str(folder), "--format", "standalone", "--images", "4"]
    if (folder / "runs").exists():
        recipe = folder.parent / "bench.toml"
        recipe.write_text(BENCH.replace('"b"', f'"{folder.name}"'))
        yield ["bench", str(recipe), "--out", str(folder.parent)]
    else:
        yield ["run", str(folder)]


# NASFORGE_FUZZ=6 damages 200 folders, as the long campaign of tests/fuzz does.
CASES = 200 if float(environ.get("NASFORGE_FUZZ", "1")) > 1 else 15


@pytest.mark.parametrize("cases", [CASES])
def test_a_damaged_folder_is_worded_or_recovered(folders, tmp_path, capsys, cases):
    draw, unworded, counts = Random(cases), [], Counter()
    for case in range(cases):
        copy = tmp_path / f"{case}"
        shutil.copytree(draw.choice(folders), copy)
        files = sorted(p for p in copy.rglob("*") if p.is_file() and p.name != ".lock")
        told = damage(draw.choice(files), draw)
        for command in commands(copy):
            with warnings.catch_warnings():
                warnings.simplefilter("always", UserWarning)
                status = run_command(command)
            said = capsys.readouterr().err
            counts["worded" if status else "recovered" if "warning: " in said else "done"] += 1
            if "(unexpected" in said or status not in (0, 1, 2) or len(said) > 4000 or "\x1b[31m" in said:
                unworded.append((case, told, command[0], said[-300:]))
        shutil.rmtree(copy)
    assert not unworded, "\n".join(map(str, unworded))
    print(f"{cases} damaged folders: {dict(counts)}")
