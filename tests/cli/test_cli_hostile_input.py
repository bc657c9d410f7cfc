"""Input that is wrong in unforeseen ways: one worded error, soon, whatever it is."""

import json
import os
import subprocess
import sys
import time

import pytest

from nasforge.cli import run_command
from nasforge.cli.output import LONGEST, readable

BASE = 'extends = "search_nasbench201_table"\n'
LONG = "9" * 5000
RECIPES = {
    "nested brackets": "x = " + "[" * 900 + "]" * 900,
    "a number of thousands of digits": f"x = {LONG}",
    "a huge number of epochs": f'{BASE}[train]\nuse = "train"\nepochs = 1{"0" * 400}',
    "a huge float": f'{BASE}[train]\nuse = "train"\nlearning_rate = 1e400',
    "many threads": f"{BASE}[run]\nthreads = 100_000_000_000",
    "a huge seed": f"{BASE}[run]\nseed = 1{'0' * 60}",
    "a name with a NUL": f'{BASE}[run]\nname = "a\\u0000b"',
    "a name with an escape": f'{BASE}[run]\nname = "a\\u001b[31mb"',
    "a long name": f'{BASE}[run]\nname = "{"a" * 300}"',
    "an escape in a key": f'{BASE}"\\u001b[31m" = 1\n',
    "a module of an unknown user": f'{BASE}[plugins]\nmodules = "~nobody-there/x.py"',
    "a module with a long name": f'{BASE}[plugins]\nmodules = "./{"x" * 300}.py"',
    "thousands of unknown keys": f"{BASE}[searcher]\n" + "".join(f"k{i} = 1\n" for i in range(20_000)),
    "thousands of unknown tables": BASE + "".join(f"[t{i}]\n" for i in range(20_000)),
    "a long text": f'{BASE}[searcher]\nuse = "{"x" * 100_000}"',
}


def worded(command, capsys, seconds=5):
    """Run a command that must fail soon with one worded error; return the error."""
    started = time.process_time()
    assert run_command(command) in (1, 2)
    assert time.process_time() - started < seconds
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "unexpected" not in said
    assert len(said) < LONGEST + 100
    assert all(c.isprintable() or c == "\n" for c in said)
    return said


@pytest.mark.parametrize("case", RECIPES)
def test_recipes(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPES[case])
    assert "r.toml" in worded(["check", "r.toml"], capsys, seconds=2)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (f"train.epochs=1{'0' * 400}", "--set train.epochs: must be at most 9223372036854775807 (2^63 - 1)"),
        (f"searcher.evaluations={2**63}", "--set searcher.evaluations: must be at most 9223372036854775807"),
        ("run.device=meta", "--set run.device: 'meta' computes no numbers. Write 'auto', 'cpu'"),
        ("run.device=cdua:1", "--set run.device: there is no device 'cdua'. Did you mean 'cuda'?"),
    ],
)
def test_options_that_no_run_can_use_are_refused_by_check(option, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(f'{BASE}[data]\nuse = "synthetic"\n[train]\nuse = "train"\n')
    assert said in worded(["check", "r.toml", "--set", option], capsys)


def test_a_damaged_table_is_refused_by_check(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "noise.npz").write_bytes(b"PK\3\4noise")
    said = worded(["check", "search_nasbench201_table", "--set", "evaluator.table=noise"], capsys)
    assert "noise.npz: cannot be read" in said


SMOKE = ["run", "search_nasbench201_table", "--profile", "smoke"]


@pytest.mark.parametrize(
    "words",
    [
        [*SMOKE, "--set", f"run.seed={LONG}"],
        [*SMOKE, "--set", "x=" + "[" * 900],
        [*SMOKE, "--set", f"run.name={'a' * 300}"],
        [*SMOKE, "--out", "/etc/passwd"],
        [*SMOKE, "--out", "/dev/null/x"],
        [*SMOKE, "--set", "run.device=meta"],
        ["run", "/dev/null/x.toml"],
        ["check", "a" * 3000],
        ["check", "a\0b"],
        ["check", "a\x1b[31mb"],
        ["inspect", "nasbench201", "--arch", '{"a": 1}'],
        ["inspect", "nasbench201", "--arch", '{"a": [[1]]}'],
        ["inspect", "nasbench201", "--arch", "[" * 5000],
        ["inspect", "nasbench201", "--arch", '{"a": ' + LONG + "}"],
        ["inspect", "nasbench201", "--arch", "\x1b[31m"],
        ["compare", "/etc/passwd"],
        ["compare", "a" * 300],
        ["tables", "import", "/dev/null"],
        ["tables", "show", "\x1b[31m"],
    ],
    ids=lambda words: " ".join(words)[:70].encode("unicode_escape").decode(),
)
def test_command_lines(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    worded(words, capsys)
    assert {path.name for path in tmp_path.iterdir()} <= {"runs"}


def test_a_damaged_stored_table_does_not_break_the_list(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "noise.npz").write_bytes(os.urandom(100))
    (tmp_path / "tables" / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "tables" / "pipe.npz")
    assert run_command(["tables", "list"]) == 0
    said = capsys.readouterr().out
    assert "broken:\n  folder: " in said
    assert "pipe.npz: is not a file. Remove it." in said
    assert "nasbench201" in said


def test_out_of_memory_is_worded(monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("nasforge.plugins.Registry.discover", fail)
    assert run_command(["check", "quickstart"]) == 1
    assert "out of memory. Use smaller batches" in capsys.readouterr().err


def test_messages_are_readable():
    assert readable("a\x1b[31mb\x00\nü") == "a\\x1b[31mb\\x00\nü"
    assert readable("/" + "x" * 150) == "/" + "x" * 150
    assert len(readable("x" * 10**6)) < 100
    many = readable("head\n" + "  - a problem\n" * 10_000)
    assert len(many) <= LONGEST
    assert "more lines)" in many


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (14_000, 14_000))
from nasforge.cli import run_command
sys.exit(run_command(sys.argv[1:]))
"""


def test_a_full_disk_in_the_middle_of_a_search_loses_nothing(tmp_path):
    """A limit on the size of files stands for a disk without space: the history grows beyond it."""
    options = [word for o in ("searcher.evaluations=60", "run.name=x") for word in ("--set", o)]
    words = ["run", "search_nasbench201_table", *options, "--out"]
    stopped = subprocess.run(
        [sys.executable, "-c", LIMITED, *words, tmp_path / "a"], check=False, capture_output=True, text=True
    )
    assert stopped.returncode == 1
    assert "Traceback" not in stopped.stderr
    assert "unexpected" not in stopped.stderr
    assert "ulimit -f" in stopped.stderr
    for name in ("a", "b"):
        assert run_command([*words, str(tmp_path / name)]) == 0
    for file in ("search/checkpoint~searcher~history.jsonl", "metrics.jsonl"):
        assert (tmp_path / "a/x" / file).read_bytes() == (tmp_path / "b/x" / file).read_bytes()
    results = [json.loads((tmp_path / n / "x/search/result.json").read_text()) for n in "ab"]
    assert results[0]["architecture"] == results[1]["architecture"]
    assert not list((tmp_path / "a").rglob("*.partial"))
