"""Importing tables: what is right is kept, what is wrong is named, and nothing is half-imported."""

import csv
import gzip
import io
import time
from pathlib import Path

import numpy as np
import pytest

from nasforge_plugins.evaluators.tabular.collecting import MAX_PROBLEMS
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.imports import describe_table, import_table, list_tables
from nasforge_plugins.evaluators.tabular.nasbench201 import read_nasbench201
from nasforge_plugins.evaluators.tabular.store import folder, load
from nasforge_plugins.spaces.nasbench201.notation import format_cell, parse_code

OFFICIAL = load("nasbench201")
HEADER = ["index", "arch", "code", "c10_valid_12", "c10_test_200", "mflops_c10"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def rows():
    """A table as a user may have it; accuracies are made up but different in every row."""
    made = []
    for index in range(len(OFFICIAL)):
        code = OFFICIAL.key(index)
        mflops = (int(OFFICIAL.columns["cifar10/macs"][index]) + 10) / 1e6
        made.append(
            [
                str(index),
                format_cell(parse_code(code)),
                code,
                f"{index / 200:.3f}",
                f"{90 - index / 200:.3f}",
                f"{mflops:.5f}",
            ]
        )
    return made


def write(path, rows, header=HEADER):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


def test_import_list_show_use(tmp_path, rows):
    # Rows may come in any order.
    path = write(tmp_path / "mine.csv.gz", rows[::-1])
    described = import_table(path)
    assert described["name"] == "mine"
    columns = {c["column"]: c for c in described["columns"]}
    assert columns["cifar10/test/200"] == {
        "column": "cifar10/test/200",
        "dataset": "cifar10",
        "metric": "test_accuracy",
        "budget": 200,
        "direction": "max",
        "known": 15_625,
        "runs": 15_625,
        "from": "file",
        "best": 90.0,
        "best_index": 0,
        "best_key": OFFICIAL.key(0),
        "best_notation": OFFICIAL.key(0),
    }
    assert columns["cifar10/valid/200"]["from"] == "nasforge"
    assert describe_table("mine") == described
    assert [(t["name"], t["shipped"], t["rows"]) for t in list_tables()] == [
        ("nasbench201", True, 15_625),
        ("mine", False, 15_625),
    ]
    table = load("mine", "nasbench201")
    assert table.accuracy("cifar10", "valid", 12)[200] == 1.0
    assert table.accuracy("cifar10")[6111] == pytest.approx(91.6067, abs=1e-4)
    assert table.seconds("cifar10", 12)[0] == pytest.approx(1444.2186 * 12 / 200, rel=1e-6)
    found = table.describe(OFFICIAL.key(7), test=True)
    assert found["cifar10_test_accuracy"] == pytest.approx(89.965)
    assert "cifar10_test_accuracy" not in table.describe(OFFICIAL.key(7))
    with pytest.raises(TableError, match="imported before"):
        import_table(path)
    import_table(path, replace=True)


def test_single_runs(tmp_path, rows):
    header = ["index", "arch", "c100_test_200_s777", "c100_test_200_s999"]
    runs = [[r[0], r[1], "50.0", "" if i % 2 else "60.0"] for i, r in enumerate(rows)]
    table = read_nasbench201(write(tmp_path / "runs.csv", runs, header))
    assert table.seeds == (777, 999)
    assert table.accuracy("cifar100", "test")[:2].tolist() == [55.0, 50.0]
    runs[4][2] = runs[4][3] = ""
    with pytest.raises(TableError, match="no run at all for index 4"):
        read_nasbench201(write(tmp_path / "runs.csv", runs, header))


def change(rows, row, column, text):
    changed = [list(r) for r in rows]
    changed[row][HEADER.index(column)] = text
    return changed


@pytest.mark.parametrize(
    ("row", "column", "text", "words"),
    [
        (3, "arch", "|nor_conv_9x9~0|+", "line 5: '|nor_conv_9x9~0|+', character 2: no operation"),
        (3, "arch", "64:64:64:64:64", "line 5: '64:64:64:64:64', character 1: expected '|'"),
        (0, "index", "15625", "line 2: column 'index': '15625' is not a number from 0 to 15624"),
        (0, "index", "-1", "line 2: column 'index': '-1'"),
        (0, "index", "1", "has index 0 in the benchmark, not 1"),
        (9, "code", "000000", "line 11: column 'code': '000000' is not the code of its cell"),
        (9, "c10_valid_12", "high", "line 11: column 'c10_valid_12': 'high' is not a number"),
        (9, "c10_valid_12", "", "line 11: column 'c10_valid_12': '' is not a number"),
        (9, "c10_valid_12", "100.5", "line 11: column 'c10_valid_12': 100.5 is not in range (from 0 to 100)"),
        (9, "c10_valid_12", "nan", "line 11: column 'c10_valid_12': nan is not in range"),
        (9, "c10_test_200", "-3", "line 11: column 'c10_test_200': -3 is not in range"),
        (9, "mflops_c10", "1.0", "line 11: column 'mflops_c10': 1.0 is not"),
    ],
)
def test_wrong_cells_are_named(tmp_path, rows, row, column, text, words):
    path = write(tmp_path / "bad.csv", change(rows[:20], row, column, text))
    with pytest.raises(TableError) as error:
        import_table(path)
    assert words in str(error.value)
    assert "nothing was imported" in str(error.value)
    assert not folder().exists()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda rows: rows[:-3], "3 of 15625 architectures are missing: index 15622, 15623, 15624."),
        (lambda rows: [*rows, rows[7]], "line 15627: index 7 was given in line 9 before"),
        (lambda rows: [*rows[:5], rows[4], *rows[6:]], "line 7: index 4 was given in line 6 before"),
        (lambda rows: [*rows[:5], rows[5][:4], *rows[6:]], "line 7: 4 cells, but the header has 6 columns"),
        (lambda rows: [*rows[:5], [*rows[5], "1"], *rows[6:]], "line 7: 7 cells"),
        (lambda rows: [], "15625 of 15625 architectures are missing: index 0, 1, 2, 3, 4, …"),
    ],
)
def test_wrong_rows_are_named(tmp_path, rows, edit, words):
    with pytest.raises(TableError) as error:
        import_table(write(tmp_path / "bad.csv", edit(rows)))
    assert words in str(error.value)
    assert not folder().exists()


def test_all_problems_at_once_but_not_thousands(tmp_path, rows):
    two = change(change(rows[:9], 1, "c10_valid_12", "x"), 4, "c10_test_200", "y")
    with pytest.raises(TableError) as error:
        read_nasbench201(write(tmp_path / "bad.csv", two))
    assert "line 3" in str(error.value)
    assert "line 6" in str(error.value)
    many = [[*r[:3], "x", *r[4:]] for r in rows]
    with pytest.raises(TableError) as error:
        read_nasbench201(write(tmp_path / "bad.csv", many))
    assert str(error.value).count("line ") == MAX_PROBLEMS
    assert str(error.value).endswith(f"and {15_625 - MAX_PROBLEMS:,} more problems.")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            ["hash", "acc"],
            "is not a table of NAS-Bench-201: it has no column 'index' and 'arch'. It starts with 'hash,acc'",
        ),
        (
            ["index", "arch", "c10_valid_300"],
            "no column 'c10_valid_300' is known. Did you mean 'c10_valid_200'?",
        ),
        (["index", "arch", "code"], "holds no measurement"),
        (["index", "arch", "c10_test_200", "c10_test_200"], "column 'c10_test_200' is there twice"),
        (["index", "arch", "c10_test_200", "c10_test_200_s777"], "or its single runs (_s<seed>), not both"),
        ([], "is not a table of NAS-Bench-201"),
    ],
)
def test_other_headers(tmp_path, header, words):
    with pytest.raises(TableError) as error:
        read_nasbench201(write(tmp_path / "bad.csv", [], header))
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["c10_test_200_s{}", "unknown{}", "c10_test_200"])
def test_thousands_of_columns_are_refused_at_once(tmp_path, name):
    header = ["index", "arch", *(name.format(i) for i in range(20_000))]
    started = time.process_time()
    with pytest.raises(TableError, match=r"line 1: has 20,002 columns; at most 1,000 are read\."):
        import_table(write(tmp_path / "wide.csv", [], header))
    assert time.process_time() - started < 2


def test_damaged_files(tmp_path, rows):
    data = write(tmp_path / "good.csv.gz", rows).read_bytes()
    for content in (data[: len(data) // 2], data[:-4], data[:5000] + b"\0" * 50 + data[5050:]):
        path = tmp_path / "bad.csv.gz"
        path.write_bytes(content)
        with pytest.raises(TableError, match=r"cut short or damaged|nothing was imported|not CSV|not text"):
            import_table(path)
    (tmp_path / "short.csv").write_bytes(gzip.decompress(data)[:-20])
    with pytest.raises(TableError, match=r"line 15626: .* cells, but the header has 6"):
        import_table(tmp_path / "short.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(TableError, match="is not text"):
        import_table(tmp_path / "binary.csv")
    with pytest.raises(TableError, match="no such file"):
        import_table(tmp_path / "absent.csv")
    (tmp_path / "NAS-Bench-201.pth").write_bytes(b"PK")
    with pytest.raises(TableError, match="does not unpickle"):
        import_table(tmp_path / "NAS-Bench-201.pth")
    assert not folder().exists()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (".", r"^\.: a folder is read as a NATS-Bench archive, which runs code stored in it"),
        ("..csv", r"'\.\.csv' does not begin with a name for a table. Add --name NAME."),
        ("ü.csv", r"'ü\.csv' does not begin with a name for a table. Add --name NAME."),
    ],
)
def test_files_whose_names_name_no_table(path, told, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    with pytest.raises(TableError, match=told):
        import_table(Path(path))


def test_a_broken_imported_table_is_listed_with_the_reason():
    folder().mkdir(parents=True)
    (folder() / "old.npz").write_bytes(b"no table")
    listed = {t["name"]: t for t in list_tables()}
    assert "damaged" in listed["old"]["problem"]
    assert "problem" not in listed["nasbench201"]


def test_reference_tables_import(shared_data):
    described = import_table(shared_data / "nb201" / "nb201_valid.csv.gz")
    columns = {c["column"]: c for c in described["columns"]}
    assert columns["cifar10/valid/200"]["best_index"] == 6111
    assert columns["cifar100/valid/200"]["best_index"] == 9930
    assert columns["imagenet16-120/valid/200"]["best_index"] == 10_676
    assert round(columns["cifar10/valid/12"]["best"], 1) == 84.9
    # Its means agree with the single runs inside nasforge, which stay usable.
    assert load("nb201_valid").accuracy("cifar10", seed=777)[0] == pytest.approx(82.092)

    import_table(shared_data / "nb201" / "nb201_hwnasbench.csv.gz", "hardware")
    facts = load("hardware").facts("cifar10", 0)
    assert facts["edgegpu_latency_ms"] == 5.8074
    assert facts["eyeriss_energy_mj"] == 0.68728
    missing = np.isnan(load("hardware").columns["cifar10/edgetpu_latency_ms"])
    assert missing.sum() == 4699
    assert "edgetpu_latency_ms" not in load("hardware").facts("cifar10", int(missing.argmax()))

    with pytest.raises(TableError, match="is not a table of NAS-Bench-201"):
        import_table(shared_data / "nb201" / "published_methods.csv")
