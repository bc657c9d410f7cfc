"""``nasforge tables``, with an evaluator of the test's own and with the one that comes along."""

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
