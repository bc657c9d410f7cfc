"""``nasforge latency``: a table of a small space is measured, shown and used; mistakes are told in words."""

import json
from pathlib import Path

import pytest

from nasforge.cli import run_command

RECIPE = """
[run]
name = "small"
threads = 1

[space]
use = "nasbench201"
channels = 2
cells = 1

[searcher]
use = "random"
evaluations = 3

[evaluator]
use = "tabular"
"""
FEW = ["--runs", "1", "--references", "2", "--networks", "3", "--device", "cpu", "--clock", "cpu"]


@pytest.fixture(autouse=True)
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))
    (tmp_path / "small.toml").write_text(RECIPE)


def build(*more):
    return run_command(["latency", "build", "small.toml", *FEW, *more])


def test_a_table_in_the_data_folder_is_built_shown_and_used(capsys):
    assert run_command(["latency", "show"]) == 0
    assert "Measure one: nasforge latency build RECIPE" in capsys.readouterr().out
    assert build("--name", "mine") == 0
    out = capsys.readouterr().out
    assert 'latency = "mine"' in out
    assert "error on 3 other networks" in out
    assert run_command(["latency", "show", "mine"]) == 0
    assert capsys.readouterr().out.strip() == out[: out.index("\n\nstored")].strip()
    assert run_command(["latency", "show", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["threads"], listed["clock"]) == ("mine", 1, "cpu")
    assert run_command(["latency", "show"]) == 0
    assert "1 thread(s), batch 1, fp32 (CPU time)" in capsys.readouterr().out

    limit = ["--set", "constraints.latency='mine'", "--set", "constraints.max_latency_ms=1e4"]
    assert run_command(["run", "small.toml", *limit]) == 0
    derived = json.loads(Path("runs/small/derive/arch.json").read_text())
    assert 0 < derived["latency_ms"] < 1e4


def test_json_is_what_the_file_holds(capsys, tmp_path):
    assert build("--out", "cell.json", "--json", "--batch", "2", "--seed", "5") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "cell.json").read_text())
    assert printed["batch"] == 2
    options = {unit["option"] for unit in printed["units"]}
    assert {"nor_conv_3x3", "skip_connect"} <= options


def test_a_table_is_not_overwritten_by_chance(capsys):
    assert build("--out", "cell.json") == 0
    assert build("--out", "cell.json") == 1
    assert "cell.json: is there already. Add --replace" in capsys.readouterr().err
    assert build("--out", "cell.json", "--replace") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["build", "small.toml", "--out", "cell.txt"],
            "cell.txt: the name of a latency table ends in '.json'.",
        ),
        (["build", "small.toml", "--name", "../x"], "a name has letters, digits"),
        (["build", "small.toml", "--clock", "sun"], "'sun' is not a clock. Write wall or cpu."),
        (["build", "small.toml", "--clock", "cpu", "--threads", "2"], "Measure on the CPU with one thread"),
        (["build", "small.toml", "--networks", "2"], "should be greater than or equal to 3"),
        (["build", "absent.toml"], "no such file, and no shipped recipe"),
        (["show", "absent"], "'absent': there is none. Measure one"),
        (["show", "other.json"], "other.json: is not a latency table"),
    ],
)
def test_mistakes(arguments, words, capsys):
    Path("other.json").write_text("{}")
    assert run_command(["latency", *arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert words in " ".join(said.split())
    assert "Traceback" not in said
