"""Tables of any space: budgets, seeds, directions, missing values, and everything wrong with a file."""

import csv
import gzip
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from nasforge import Choice
from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import ArchError, RunError
from nasforge.space import SearchSpace
from nasforge.tables import TableLayout, TableMetric
from nasforge_plugins.evaluators.tabular.collecting import MAX_PROBLEMS
from nasforge_plugins.evaluators.tabular.config import TabularConfig
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.evaluator import Tabular
from nasforge_plugins.evaluators.tabular.imports import describe_table, import_table
from nasforge_plugins.evaluators.tabular.store import folder

EDGES = tuple(f"edge{i}" for i in range(6))


class Cells(SearchSpace[PluginConfig]):
    """Six edges with one of four operations, written as six letters; the first two edges are symmetric."""

    choices = tuple(Choice(edge, ("n", "s", "c", "p")) for edge in EDGES)

    def parse(self, text):
        if len(text) != 6:
            raise ArchError(f"{text!r}: a cell has 6 letters, not {len(text)}.")
        return Arch(dict(zip(EDGES, text, strict=True)))

    def canonical(self, arch):
        first, second = sorted(arch[edge][0] for edge in EDGES[:2])
        return Arch({**arch, EDGES[0]: first, EDGES[1]: second})

    def notation(self, arch):
        return "".join(arch[edge][0] for edge in EDGES)


SPACE = Cells(PluginConfig())


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))


def layout(*metrics, **options):
    return TableLayout(SPACE, "cells", "cell", tuple(TableMetric.parse(text) for text in metrics), **options)


def imported(tmp_path, text, *metrics, **options):
    path = tmp_path / "t.csv"
    path.write_text(text, "utf8")
    return import_table(path, layout=layout(*metrics, **options), replace=True)


def evaluator(run_seed=0, **options):
    made = Tabular(TabularConfig(table="t", **options))
    made.setup(SimpleNamespace(space=SPACE, seed=run_seed))
    return made


WIDE = """\
cell,acc_12,acc_200_s1,acc_200_s2,loss,ms,s_12,s_200
nscpnn,50,70,72,0.9,3.5,10,200
cccccc,60,80,,0.7,-1,12,240
"""
WIDE_METRICS = (
    "valid_accuracy=acc_{budget}_s{seed}:max",
    "quick=acc_12:max",
    "valid_loss=loss:min",
    "latency_ms=ms:min",
)


def test_columns_with_budgets_and_seeds(tmp_path):
    about = imported(tmp_path, WIDE, *WIDE_METRICS, seconds={None: "s_{budget}"}, missing=("-1",))
    columns = {row["column"]: row for row in about["columns"]}
    assert about["space"] == "cells"
    assert about["seeds"] == [1, 2]
    assert (columns["valid/200"]["known"], columns["valid/200"]["runs"]) == (2, 3)
    assert (columns["valid_loss"]["best"], columns["valid_loss"]["best_notation"]) == (0.7, "cccccc")
    assert columns["latency_ms"]["known"] == 1
    assert describe_table("t") == about
    cell, other = SPACE.parse("nscpnn"), SPACE.parse("cccccc")
    found = evaluator().evaluate(cell)
    assert (found.score, found.cost) == (71.0, 200.0)
    assert found.metrics == {"valid_accuracy": 71.0, "quick": 50.0, "valid_loss": 0.9, "latency_ms": 3.5}
    assert "latency_ms" not in evaluator().evaluate(other).metrics
    assert evaluator(score="valid_loss").evaluate(cell).score == -0.9
    assert {evaluator(s, seed="random").evaluate(cell).score for s in range(20)} == {70.0, 72.0}
    assert evaluator(seed=1).evaluate(cell).score == 70.0
    with pytest.raises(TableError, match="1 of 2 architectures have no run with seed 2"):
        evaluator(seed=2)
    with pytest.raises(TableError, match="does not depend on a budget"):
        evaluator(score="valid_loss").check_budget(12)
    assert evaluator().config.reports() == {"valid_accuracy", "quick", "valid_loss", "latency_ms"}


def test_the_checksum_of_a_table_is_that_of_its_content(tmp_path):
    def checksum(text):
        imported(tmp_path, text, *WIDE_METRICS)
        return TabularConfig(table="t").file_checksums()

    first = checksum(WIDE)
    assert len(first["table"]) == 64
    assert checksum(WIDE) == first
    assert checksum(WIDE.replace("0.7", "0.8")) != first
    assert TabularConfig().file_checksums() == {}
    (folder() / "t.npz").write_bytes(b"PK")
    with pytest.raises(TableError, match="is not a nasforge table, or is damaged"):
        TabularConfig.model_construct(table="t").file_checksums()


def test_rows_by_budget_and_seed_equal_columns(tmp_path):
    rows = "cell,epochs,run,acc,s\n" + "".join(
        f"{cell},{epochs},{run},{epochs / 4 + run},{epochs}\n"
        for cell in ("nscpnn", "snpppp")
        for epochs in (12, 200)
        for run in (7, 9)
    )
    options = {"budget": "epochs", "seed": "run", "seconds": {None: "s"}}
    imported(tmp_path, rows, "valid_accuracy=acc:max", **options)
    made, cell = evaluator(), SPACE.parse("nscpnn")
    assert made.evaluate(cell).score == 58.0
    assert made.evaluate(cell, budget=12).score == 11.0
    assert made.evaluate(cell, budget=12).cost == 12.0
    assert evaluator(seed=9).evaluate(cell).score == 59.0
    assert made.evaluate(SPACE.parse("nspppp")).score == 58.0  # the same cell as "snpppp"
    with pytest.raises(TableError, match="after 50 epochs, only after 12 or 200"):
        made.check_budget(50)


def test_architectures_that_the_table_lacks(tmp_path):
    imported(tmp_path, WIDE, *WIDE_METRICS, missing=("-1",))
    made = evaluator(require=("latency_ms",))
    known, partly, absent = map(SPACE.parse, ("nscpnn", "cccccc", "pppppp"))
    assert made.known_metrics(known)["latency_ms"] == 3.5
    assert made.known_metrics(partly) is None
    assert made.known_metrics(absent) is None
    with pytest.raises(RunError, match="table 't': cccccc has no 'latency_ms'"):
        made.evaluate(partly)
    with pytest.raises(RunError, match="table 't': it does not hold this architecture"):
        made.evaluate(absent)
    with pytest.raises(ValidationError, match=r"'latency' is not in the table. Did you mean 'latency_ms'?"):
        evaluator(require=("latency",))
    with pytest.raises(ValidationError, match=r"'valid_los' is not in the table. Did you mean 'valid_loss'?"):
        evaluator(score="valid_los")
    with pytest.raises(ValidationError, match=r"the table is about one data set. Leave this option out"):
        evaluator(dataset="cifar10")


def test_data_sets(tmp_path):
    text = "cell,a,b,ta,s\nnscpnn,1,2,3,9\n"
    metrics = ("one/valid_accuracy=a:max", "two/valid_accuracy=b:max", "one/test_accuracy=ta:max")
    imported(tmp_path, text, *metrics, seconds={"two": "s"})
    cell = SPACE.parse("nscpnn")
    assert (evaluator().evaluate(cell).score, evaluator(dataset="two").evaluate(cell).score) == (1.0, 2.0)
    assert (evaluator().evaluate(cell).cost, evaluator(dataset="two").evaluate(cell).cost) == (0.0, 9.0)
    assert evaluator().test(cell) == {"test_accuracy": 3.0}
    assert not any(name.startswith("test") for name in evaluator().evaluate(cell).metrics)
    with pytest.raises(ValidationError, match=r"'three' is not in the table. Known: one, two."):
        evaluator(dataset="three")
    with pytest.raises(TableError, match="'test_accuracy' may not guide a search"):
        evaluator(score="test_accuracy")


def test_a_space_with_other_choices_is_refused(tmp_path):
    imported(tmp_path, WIDE, *WIDE_METRICS, missing=("-1",))

    class Fewer(Cells):
        choices = Cells.choices[:5]

    made = Tabular(TabularConfig(table="t"))
    with pytest.raises(TableError, match="of 'cells' with other choices than those of Fewer here"):
        made.setup(SimpleNamespace(space=Fewer(PluginConfig()), seed=0))


def test_gzip_and_parquet_equal_plain_text(tmp_path):
    about = imported(tmp_path, WIDE, *WIDE_METRICS, missing=("-1", ""))
    zipped = tmp_path / "t.csv.gz"
    zipped.write_bytes(gzip.compress(WIDE.encode()))
    same = import_table(zipped, "z", layout=layout(*WIDE_METRICS, missing=("-1", "")))
    assert same["columns"] == about["columns"]
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    header, *rows = csv.reader(WIDE.splitlines())
    numbers = [[row[0], *(float(cell) if cell else None for cell in row[1:])] for row in rows]
    table = pyarrow.table({name: [row[i] for row in numbers] for i, name in enumerate(header)})
    parquet.write_table(table, tmp_path / "p.parquet")
    same = import_table(tmp_path / "p.parquet", layout=layout(*WIDE_METRICS, missing=("-1", "")))
    assert same["columns"] == about["columns"]
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "p.parquet").read_bytes()[:200])
    with pytest.raises(TableError, match="the Parquet file cannot be read"):
        import_table(tmp_path / "cut.parquet", layout=layout("loss:min"))


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(TableError, match=r"not installed. Run: pip install 'nasforge\[parquet\]'"):
        import_table(tmp_path / "t.parquet", layout=layout("loss:min"))


BAD = """\
cell,acc,ms
nscp,50,3
zscpnn,51,3
nscpnn,high,3
cccccc,60,
cccccc,61,4
snscpn,70
pppppp,nan,-1
"""


def test_everything_wrong_with_the_rows_is_told_at_once(tmp_path):
    with pytest.raises(TableError) as error:
        imported(tmp_path, BAD, "valid_accuracy=acc:max", "latency_ms=ms:min")
    text = str(error.value)
    assert f"{tmp_path / 't.csv'}: nothing was imported." in text
    for words in (
        "line 2: 'nscp': a cell has 6 letters, not 4.",
        "line 3: architecture does not fit Cells: choice 'edge0' has no option 'z'. Known: c, n, p, s.",
        "line 4: column 'acc': 'high' is not a number. If it stands for a missing value, add --missing high.",
        "line 5: column 'ms' is empty. If values may be missing, add --missing ''.",
        "line 6: column 'acc': 61 disagrees with 60 in line 5, for the same architecture.",
        "line 7: 2 cells, but the header has 3 columns.",
        "line 8: column 'acc': nan is not in range (a finite number).",
    ):
        assert words in text
    assert text.count("\n") == 7
    assert not folder().exists()


def test_thousands_of_problems_are_counted(tmp_path):
    with pytest.raises(TableError) as error:
        imported(tmp_path, "cell,acc\n" + "xx,1\n" * 2_000, "acc:max")
    assert str(error.value).count("line ") == MAX_PROBLEMS
    assert str(error.value).endswith(f"and {2_000 - MAX_PROBLEMS:,} more problems.")


def test_rows_that_agree_are_one(tmp_path):
    about = imported(tmp_path, "cell,acc\nnscpnn,1\nsncpnn,1\n", "acc:max")
    assert about["rows"] == 1
    with pytest.raises(TableError, match="2 disagrees with 1 in line 2, for the same architecture"):
        imported(tmp_path, "cell,acc\nnscpnn,1\nsncpnn,2\n", "acc:max")


def test_an_error_of_a_foreign_parser_is_worded(tmp_path, monkeypatch):
    monkeypatch.setattr(Cells, "parse", lambda self, text: {}[text])
    with pytest.raises(TableError, match=r"line 2: 'nscpnn' cannot be parsed by space 'cells' \(KeyError"):
        imported(tmp_path, "cell,acc\nnscpnn,1\n", "acc:max")


def test_no_run_at_all(tmp_path):
    text = "cell,acc_s1,acc_s2\nnscpnn,1,\ncccccc,,\n"
    with pytest.raises(TableError, match="acc: 1 of 2 architectures have no value, the first is cccccc"):
        imported(tmp_path, text, "acc=acc_s{seed}:max")
    imported(tmp_path, text, "acc=acc_s{seed}:max", missing=("",))
    assert evaluator().known_metrics(SPACE.parse("cccccc")) is None


@pytest.mark.parametrize(
    ("metrics", "options", "words"),
    [
        (["acc:max"], {"arch": "cel"}, "--arch-column: there is no column 'cel'. Did you mean 'cell'?"),
        (["ac:max"], {}, "--metric: there is no column 'ac'. Did you mean 'acc'?"),
        (["a=acc_{budget}:max"], {}, "--metric: no column fits 'acc_{budget}'."),
        (
            ["a=acc_{seed}:max"],
            {"seed": "run"},
            "--seed-column: there is no column 'run'. Known: acc, cell, ms.",
        ),
        (["a=acc_{seed}:max"], {"seed": "ms"}, "has {seed}, and --seed-column is given too"),
        (["acc:max"], {"seconds": {None: "s"}}, "--seconds: there is no column 's'."),
        (["acc:max", "acc=ms:min"], {}, "metric 'acc' is named twice."),
        (["a/acc:max"], {"seconds": {None: "ms"}}, "--seconds: write DATASET=COLUMN"),
        (["a/acc:max", "b=acc:max"], {}, "some metrics name a dataset and others do not"),
        ([], {}, "no metric is named"),
    ],
)
def test_wrong_layouts(tmp_path, metrics, options, words):
    path = tmp_path / "t.csv"
    path.write_text("cell,acc,ms\nnscpnn,1,2\n", "utf8")
    made = layout(*(text.replace("a/acc:", "a/acc=acc:") for text in metrics))
    with pytest.raises(TableError) as error:
        import_table(path, layout=TableLayout(**{**vars(made), **options}))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("acc", "does not say whether higher is better. Write acc:max or acc:min."),
        ("acc:up", "does not say whether higher is better"),
        ("a b:max", "'a b' is not a name"),
        ("=acc:max", "'' is not a name"),
        ("acc=:max", "write NAME:max or NAME=COLUMN:max"),
        ("/acc:max", "write NAME:max"),
        ("score:max", "the name 'score' is reserved"),
        ("valid:max", "write valid_accuracy=valid:max"),
    ],
)
def test_wrong_metrics(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        TableMetric.parse(text)


def test_empty_files(tmp_path):
    with pytest.raises(TableError, match="it has no rows"):
        imported(tmp_path, "cell,acc\n", "acc:max")
    with pytest.raises(TableError, match="there is no column 'cell'"):
        imported(tmp_path, "", "acc:max")
    with pytest.raises(TableError, match="column 'acc' is there twice"):
        imported(tmp_path, "cell,acc,acc\nnscpnn,1,1\n", "acc:max")


def test_values_are_stored_to_the_bit(tmp_path):
    imported(tmp_path, "cell,acc\nnscpnn,0.1\n", "acc:max")
    assert evaluator().evaluate(SPACE.parse("nscpnn")).score == np.float64("0.1")
