"""``nasforge tables``, with an evaluator of the test's own and with the one that comes along."""

import csv
import itertools
import json
import subprocess
import sys

import pytest

from nasforge.cli import run_command, tables
from nasforge.errors import PluginError
from nasforge.evaluator import TableStore
from nasforge.plugins import Plugin, Registry


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))


def test_list_and_show(capsys):
    assert run_command(["tables", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["rows"], row["shipped"]) == ("nasbench201", 15_625, True)
    assert run_command(["tables", "list"]) == 0
    assert "nasbench201" in capsys.readouterr().out
    assert run_command(["tables", "show", "nasbench201"]) == 0
    out = capsys.readouterr().out
    assert "cifar10/valid/200" in out
    assert "#6111" in out
    assert run_command(["tables", "show", "nasbench201", "--json"]) == 0
    assert {c["from"] for c in json.loads(capsys.readouterr().out)["columns"]} == {"nasforge"}


def test_import(shared_data, capsys):
    path = str(shared_data / "nb201" / "nb201_hwnasbench.csv.gz")
    assert run_command(["tables", "import", path, "--name", "hw"]) == 0
    assert 'table = "hw"' in capsys.readouterr().out
    assert run_command(["tables", "import", path, "--name", "hw"]) == 2
    assert "imported before" in capsys.readouterr().err
    assert run_command(["tables", "import", path, "--name", "hw", "--replace", "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert "pixel3_latency_ms" in {column["metric"] for column in columns}


LETTERS = """
from nasforge import Arch, Choice, Plugin, PluginConfig, SearchSpace, hookimpl
from nasforge.errors import ArchError

OPERATIONS = {"a": "pool", "b": "skip", "c": "conv", "d": "dilated"}
EDGES = tuple(f"edge{i}" for i in range(6))

class LettersConfig(PluginConfig):
    pass

class Letters(SearchSpace[LettersConfig]):
    choices = tuple(Choice(edge, tuple(OPERATIONS.values())) for edge in EDGES)

    def parse(self, text):
        if len(text) != 6 or set(text) - set(OPERATIONS):
            raise ArchError(f"{text!r} is not a cell: write six letters.")
        return Arch({edge: OPERATIONS[letter] for edge, letter in zip(EDGES, text, strict=True)})

    def notation(self, arch):
        letters = {name: letter for letter, name in OPERATIONS.items()}
        return "".join(letters[arch[edge][0]] for edge in EDGES)

@hookimpl
def nasforge_plugins():
    return [Plugin("space", "letters", f"{__name__}:Letters", LettersConfig, "Cells of six letters")]
"""

LETTERS_RECIPE = """
[run]
name = "letters"
[plugins]
modules = ["./letters.py"]
[space]
use = "letters"
[searcher]
use = "random"
[evaluator]
use = "tabular"
table = "letters"
[bench]
searchers = ["random"]
seeds = 2
budget = 20
"""

LETTERS_METRICS = ["accuracy=acc:max", "loss=loss:min", "latency_ms=ms:min", "size_kb=kb:min"]


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """A space of a stranger in a file, its recipe, and a way to import rows for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters.py").write_text(LETTERS)
    (tmp_path / "letters.toml").write_text(LETTERS_RECIPE)

    def imported(rows, column="genotype", name="letters"):
        head = "genotype,seed,acc,loss,ms,kb,secs"
        (tmp_path / "letters.csv").write_text("\n".join([head, *rows]))
        metrics = [part for text in LETTERS_METRICS for part in ("--metric", text)]
        command = ["tables", "import", "letters.csv", "--name", name, "--recipe", "letters.toml"]
        command += ["--arch-column", column, "--seed-column", "seed", "--seconds", "secs", *metrics, "--json"]
        return run_command(command)

    return imported


@pytest.mark.filterwarnings("ignore:.*runs code of")
def test_a_table_of_another_space_is_imported_and_benched(letters, tmp_path, capsys):
    cells = enumerate("".join(letters) for letters in itertools.product("cd", repeat=6))
    rows = [f"{cell},{seed},{i + seed},0.5,{i},7,60" for i, cell in cells for seed in (1, 2)]
    assert letters(rows) == 0
    columns = {c["metric"]: c for c in json.loads(capsys.readouterr().out)["columns"]}
    assert set(columns) == {"accuracy", "loss", "latency_ms", "size_kb", "seconds"}
    assert [columns[name]["direction"] for name in ("accuracy", "loss")] == ["max", "min"]
    assert (columns["accuracy"]["best"], columns["latency_ms"]["best"]) == (64.5, 0)
    assert columns["accuracy"]["runs"] == 2 * columns["accuracy"]["known"] == 128
    assert run_command(["bench", "letters.toml"]) == 0
    assert "random    2" in capsys.readouterr().out
    found = list(csv.DictReader((tmp_path / "benches/letters/runs.csv").open()))
    assert {(row["evaluations"], row["seconds"], row["stopped"]) for row in found} == {
        ("20", "1200.0", "budget")
    }
    assert all(float(row["score"]) == float(row["metrics_latency_ms"]) + 1.5 for row in found)
    assert run_command(["report", "benches/letters"]) == 0


@pytest.mark.filterwarnings("ignore:.*runs code of")
def test_what_is_wrong_with_its_rows_comes_at_once(letters, capsys):
    rows = ["aabbcc,1,50,1,2,7,60", "aabxcc,1,50,1,2,7,60", "short,1,50,1,2,7,60", "dddddd,1,,1,n/a,7,60"]
    assert letters([*rows, "aabbcc,1,51,1,2,7,60", "cccccc,one,50,1,2,7,60"]) == 2
    told = capsys.readouterr().err
    for words in (
        "line 3: 'aabxcc' is not a cell",
        "line 4: 'short' is not a cell",
        "line 5: column 'acc' is empty. If values may be missing, add --missing ''.",
        "line 5: column 'ms': 'n/a' is not a number.",
        "line 6: column 'acc': 51 disagrees with 50 in line 2, for the same architecture and seed 1.",
        "line 7: column 'seed': 'one' is not a number.",
    ):
        assert words in told
    assert letters(rows[:1], column="genotyp") == 2
    assert "--arch-column: there is no column 'genotyp'. Did you mean 'genotype'?" in capsys.readouterr().err


SAFE = ["import", "t.csv", "--arch-column", "a", "--metric", "a:max"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nasbench"], "Did you mean 'nasbench201'?"),
        (["import", "absent.csv"], "absent.csv: no such file."),
        (["import", __file__, "--name", "nasbench201"], "belongs to the table inside nasforge"),
        (["import", __file__, "--name", "../x"], "use letters, digits"),
        (["import", __file__, "--name", "x"], "is not a table of NAS-Bench-201"),
        (
            ["import", "t.csv", "--missing", ""],
            "--arch-column: is missing. Name the column of the architectures.",
        ),
        (["import", "t.csv", "--space", "darts"], "--metric: is missing. Write --metric NAME:max"),
        (["import", "t.csv", "--arch-column", "a"], "--space: is missing. Name the space that parses"),
        (["import", "t.csv", "--space", "darts", "--recipe", "x.toml"], "both name the space. Leave one out"),
        ([*SAFE, "--space", "dart"], "no space named 'dart'"),
        ([*SAFE, "--space", "dart"], "Did you mean 'darts'?"),
        ([*SAFE, "--space", "darts", "--set", "channel=1"], "Did you mean 'channels'?"),
        ([*SAFE, "--space", "darts", "--metric", "b"], "'b' does not say whether higher is better"),
        ([*SAFE, "--recipe", "absent.toml"], "absent.toml"),
        ([*SAFE, "--space", "darts"], "t.csv: no such file."),
    ],
)
def test_mistakes(arguments, words, capsys):
    assert run_command(["tables", *arguments]) == 2
    assert words in capsys.readouterr().err


class Shelf:
    """Keeps tables, elsewhere."""

    import_table = list_tables = describe_table = staticmethod(lambda *_: [])


def test_any_evaluator_may_keep_tables(monkeypatch):
    kept = Plugin("evaluator", "mine", f"{__name__}:Shelf", provides=frozenset({TableStore}))
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: cls([kept])))
    assert tables._store() is Shelf
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: cls([])))
    with pytest.raises(PluginError, match="found none"):
        tables._store()


def test_listing_imports_no_torch():
    code = (
        "import sys\n"
        "from nasforge.cli import run_command\n"
        "assert run_command(['tables', 'list']) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
