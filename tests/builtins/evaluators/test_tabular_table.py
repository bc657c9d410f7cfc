"""The table inside nasforge: known answers, ranks, and files that are damaged."""

import csv
import gzip
from random import Random

import numpy as np
import pytest

from nasforge_plugins.evaluators.tabular.config import TabularConfig
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.store import (
    SHIPPED,
    check_name,
    described,
    filled,
    folder,
    load,
    tables,
)
from nasforge_plugins.evaluators.tabular.table import Table
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201
from support.damage import flip

TABLE = load("nasbench201")
NAMES = {"cifar10": "c10", "cifar100": "c100", "imagenet16-120": "im16"}


def test_file_is_small_and_holds_no_pickle():
    assert SHIPPED["nasbench201"].stat().st_size < 2_000_000
    with np.load(SHIPPED["nasbench201"], allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "uif" for name in file.files)


@pytest.mark.parametrize(
    ("dataset", "index", "accuracy"),
    [("cifar10", 6111, 91.607), ("cifar100", 9930, 73.493), ("imagenet16-120", 10676, 46.733)],
)
def test_best_architectures(dataset, index, accuracy):
    values = TABLE.accuracy(dataset)
    assert int(values.argmax()) == index
    assert round(float(values[index]), 3) == accuracy
    assert TABLE.rank(dataset)[index] == 1
    assert (TABLE.rank(dataset) == 1).sum() == 1


def test_disconnected_cells_stay_at_chance():
    space = NasBench201(NasBench201Config())
    cut = np.array([space.function_key(arch) == "" for arch in space.enumerate()])
    assert cut.sum() == 341
    for dataset, chance in (("cifar10", 9.712), ("cifar100", 1.0), ("imagenet16-120", 2.5 / 3)):
        np.testing.assert_allclose(TABLE.accuracy(dataset)[cut], chance, atol=1e-9)
    for dataset in ("cifar10", "cifar100"):
        assert (TABLE.rank(dataset)[cut] == 15_625 - 341 + 1).all()
        assert (TABLE.accuracy(dataset)[~cut] > 9).all()
    # One connected cell, three 1x1 convolutions in a row, did not learn on ImageNet16-120 either.
    low = TABLE.accuracy("imagenet16-120") < 0.84
    assert np.flatnonzero(low & ~cut).tolist() == [4992]


def test_runs_seeds_and_means():
    runs = TABLE.runs("cifar10")
    assert runs.shape == (15_625, 3)
    assert TABLE.seeds == (777, 888, 999)
    missing = np.isnan(runs)
    assert missing.sum(0).tolist() == [0, 0, 7456]
    np.testing.assert_allclose(runs[0], [82.092, 81.616, 82.24])
    assert TABLE.accuracy("cifar10")[0] == pytest.approx(np.mean([82.092, 81.616, 82.24]))
    assert TABLE.accuracy("cifar10", seed=888)[0] == pytest.approx(81.616)


def test_ranks_agree_with_a_plain_count():
    values = TABLE.accuracy("cifar100").round(9)
    ranks = TABLE.rank("cifar100")
    for row in (0, 17, 284, 11_472, 15_624):
        assert ranks[row] == 1 + int((values > values[row]).sum())


def test_equals_the_reference_table(shared_data):
    with gzip.open(shared_data / "nb201" / "nb201_valid.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert [TABLE.key(i) for i in range(len(TABLE))] == [row["code"] for row in rows]
    for dataset, short in NAMES.items():
        classes = {"c10": 10, "c100": 100, "im16": 120}[short]

        def column(name, rows=rows):
            return np.array([float(row[name]) for row in rows])

        np.testing.assert_allclose(TABLE.accuracy(dataset), column(f"{short}_valid_200"), rtol=0, atol=5.1e-5)
        assert (3 - np.isnan(TABLE.runs(dataset)).sum(1)).tolist() == column("n_seeds").tolist()
        seconds = "train_s_c10valid_200" if short == "c10" else f"train_s_{short}_200"
        np.testing.assert_allclose(TABLE.seconds(dataset, 200), column(seconds), rtol=0, atol=0.051)
        np.testing.assert_allclose(
            TABLE.columns[f"{dataset}/latency_ms"], column(f"gpu_latency_ms_{short}"), rtol=0, atol=5.1e-4
        )
        assert TABLE.columns[f"{dataset}/params"].tolist() == column(f"params_{short}").tolist()
        macs = np.rint(column(f"mflops_{short}") * 1e6) - classes
        assert TABLE.columns[f"{dataset}/macs"].tolist() == macs.tolist()


def test_additive_rule_on_all_rows():
    ones, threes = ((TABLE.keys == digit).sum(1) for digit in (2, 3))
    assert (TABLE.columns["cifar10/params"] == 73_306 + 28_000 * ones + 243_040 * threes).all()
    macs = TABLE.columns["cifar10/macs"].astype(int) + 10
    assert (macs == 7_783_050 + 3_932_160 * ones + 35_389_440 * threes).all()
    assert (TABLE.columns["cifar100/params"] - TABLE.columns["cifar10/params"] == 5850).all()
    assert (TABLE.columns["imagenet16-120/params"] - TABLE.columns["cifar10/params"] == 7150).all()


def test_missing_columns_say_what_there_is():
    with pytest.raises(TableError, match="after 12 epochs, only after 200"):
        TABLE.accuracy("cifar10", "valid", 12)
    with pytest.raises(TableError, match="no test accuracies of cifar10"):
        TABLE.accuracy("cifar10", "test")
    with pytest.raises(TableError, match="Did you mean 'cifar10'"):
        TABLE.accuracy("cifar1O")
    with pytest.raises(TableError, match="seeds 777, 888, 999"):
        TABLE.accuracy("cifar10", seed=1)
    with pytest.raises(TableError, match="no row '555555'"):
        TABLE.row("555555")


def test_seconds_scale_with_the_length():
    np.testing.assert_allclose(
        TABLE.seconds("cifar10", 12), TABLE.seconds("cifar10", 200) * 12 / 200, rtol=1e-6
    )


def test_round_trip_of_a_file(tmp_path):
    keys = np.array([[0, 1], [1, 0]], np.uint8)
    made = Table(keys, {"d/valid/5": np.array([50.0, 60.0])}, {"space": "s", "seeds": []})
    made.save(tmp_path / "t.npz")
    read = Table.load(tmp_path / "t.npz")
    assert read.key(1) == "10"
    assert read.row("01") == 0
    assert read.describe("10") == {
        "index": 1,
        "architectures": 2,
        "d_valid_accuracy": 60.0,
        "d_valid_rank": 1,
    }
    assert [p.name for p in tmp_path.iterdir()] == ["t.npz"]


def test_fill_prefers_single_runs_that_agree():
    keys = np.array([[0], [1]], np.uint8)
    fine = Table(
        keys,
        {"d/valid/5": np.array([[1, 3], [2, 0]], np.uint16), "d/params": np.array([7, 8])},
        {"space": "s", "seeds": [1, 2], "images": {"d/valid": 100}},
    )
    agreeing = filled(Table(keys, {"d/valid/5": np.array([2.0, 2.0])}, {"space": "s"}), fine)
    assert agreeing.accuracy("d", epochs=5, seed=2)[0] == 3.0
    other = filled(Table(keys, {"d/valid/5": np.array([2.0, 9.0])}, {"space": "s"}), fine)
    assert other.accuracy("d", epochs=5).tolist() == [2.0, 9.0]
    assert other.facts("d", 1) == {"params": 8}
    with pytest.raises(TableError, match="only the mean"):
        other.accuracy("d", epochs=5, seed=2)


def test_fill_keeps_runs_under_their_seeds():
    keys = np.array([[0], [1]], np.uint8)
    counts = np.array([[1, 3], [2, 0]], np.uint16)
    shipped = Table(keys, {"d/valid/5": counts}, {"space": "s", "seeds": [2, 3], "images": {"d/valid": 100}})
    own = Table(keys, {"d/test/5": np.array([[7.0, 8.0], [9.0, np.nan]])}, {"space": "s", "seeds": [1, 3]})
    table = filled(own, shipped)
    assert table.seeds == (1, 2, 3)
    assert table.accuracy("d", "valid", 5, seed=2).tolist() == [1.0, 2.0]
    np.testing.assert_equal(table.accuracy("d", "valid", 5, seed=3), [3.0, np.nan])
    np.testing.assert_equal(table.accuracy("d", "valid", 5, seed=1), [np.nan, np.nan])
    assert table.accuracy("d", "test", 5, seed=1).tolist() == [7.0, 9.0]
    np.testing.assert_equal(table.accuracy("d", "test", 5, seed=3), [8.0, np.nan])
    assert table.accuracy("d", "test", 5).tolist() == [7.5, 9.0]


def test_damaged_files(tmp_path):
    data = SHIPPED["nasbench201"].read_bytes()
    bad = {
        "short": data[: len(data) // 2],
        "empty": b"",
        "text": b"index,arch\n",
        "flipped": data[:3000] + bytes(b ^ 255 for b in data[3000:3200]) + data[3200:],
    }
    for name, content in bad.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(TableError, match=r"not a nasforge table, or is damaged"):
            Table.load(path)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(TableError, match="not a nasforge table"):
        Table.load(tmp_path / "other.npz")
    with pytest.raises(TableError, match="no such file"):
        Table.load(tmp_path / "absent.npz")


def test_names_and_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path))
    assert folder() == tmp_path / "tables"
    assert list(tables()) == ["nasbench201"]
    monkeypatch.delenv("NASFORGE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert folder() == tmp_path / "share" / "nasforge" / "tables"
    with pytest.raises(TableError, match="Did you mean 'nasbench201'"):
        load("nasbench2O1")
    with pytest.raises(TableError, match="not of 'darts'"):
        load("nasbench201", "darts")
    for name in ("nasbench201", "../x", "", ".hidden", "a/b"):
        with pytest.raises(TableError, match="table name"):
            check_name(name)


def test_names_of_metrics_are_known_without_reading_numbers(tmp_path):
    path = tmp_path / "t.npz"
    columns = {"cifar10/valid/200": np.ones(1), "cifar10/depth": np.ones(1), "cifar100/width": np.ones(1)}
    Table(np.array([[0]], np.uint8), columns, {"space": "nasbench201"}).save(path)
    for dataset in NAMES:
        assert described("nasbench201", dataset) == set(TABLE.facts(dataset, 0, 200)), dataset
        assert described(str(path), dataset) == set(load(str(path)).facts(dataset, 0, 200)), dataset


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_names_of_metrics_of_a_damaged_table(tmp_path, content):
    path = tmp_path / "t.npz"
    path.write_bytes(content)
    with pytest.raises(TableError, match="cannot be read"):
        described(str(path), "cifar10")
    assert TabularConfig.model_construct(table=str(path)).reports() is None


def test_no_flipped_bit_changes_a_stored_table(tmp_path):
    keys = np.arange(20, dtype=np.uint8).reshape(4, 5) % 5
    accuracies = {"cifar10/valid/12": np.arange(4.0)}
    path, draw, found = tmp_path / "t.npz", Random(0), 0
    Table(keys, accuracies, {"space": "toy", "seeds": [], "images": {}}).save(path)
    whole = Table.load(path)
    for _ in range(150):
        with flip(path, draw):
            try:
                table = Table.load(path)
            except TableError:
                found += 1
                continue
        # What a zip archive says besides its content, such as dates, changes no number.
        assert np.array_equal(table.keys, whole.keys)
        assert table.meta == whole.meta
        assert {n: c.tolist() for n, c in table.columns.items()} == {"cifar10/valid/12": [0.0, 1.0, 2.0, 3.0]}
    assert found > 75


def test_a_table_with_other_numbers_than_its_checksum_is_refused(tmp_path):
    columns = {"cifar10/valid/12": np.arange(2.0)}
    table = Table(np.zeros((2, 1), np.uint8), columns, {"space": "toy", "seeds": []})
    table.save(tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as file:
        arrays = dict(file)
    arrays["cifar10/valid/12"] = arrays["cifar10/valid/12"] + 1
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(TableError, match="checksum"):
        Table.load(tmp_path / "t.npz")
