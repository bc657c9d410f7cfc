import csv

import pytest

import nasforge
from nasforge_plugins.observers.csv.config import CsvConfig
from nasforge_plugins.observers.csv.observer import Csv
from support.tiny_recipe import tiny


def rows(path):
    with path.open(encoding="utf8", newline="") as file:
        return list(csv.DictReader(file))


def watched(folder, **options):
    observer = Csv(CsvConfig(**options))
    observer.setup(folder)
    return observer


def test_a_row_per_step_and_a_file_per_stage(tmp_path):
    observer = watched(tmp_path)
    observer.step("search", 1, {"loss": 1.5}, "größe, 2")
    observer.step("search", 2, {"loss": 1.25}, None)
    observer.step("train", 1, {"accuracy": 90.0}, None)
    assert rows(tmp_path / "csv/search.csv") == [
        {"step": "1", "loss": "1.5", "arch": "größe, 2"},
        {"step": "2", "loss": "1.25", "arch": ""},
    ]
    assert rows(tmp_path / "csv/train.csv") == [{"step": "1", "accuracy": "90.0"}]


def test_a_metric_that_comes_later_gets_a_column(tmp_path):
    observer = watched(tmp_path)
    observer.step("search", 1, {"a": 1}, None)
    observer.step("search", 2, {"a": 2, "b": 3}, None)
    observer.step("search", 3, {"b": 4}, None)
    assert rows(tmp_path / "csv/search.csv") == [
        {"step": "1", "a": "1", "b": ""},
        {"step": "2", "a": "2", "b": "3"},
        {"step": "3", "a": "", "b": "4"},
    ]


def test_repeated_steps_replace_their_rows(tmp_path):
    observer = watched(tmp_path)
    for step in (1, 2, 3):
        observer.step("train", step, {"loss": step}, None)
    with (tmp_path / "csv/train.csv").open("a") as file:
        file.write("4,4.")  # cut short by a crash
    again = watched(tmp_path)
    again.step("train", 3, {"loss": 33}, None)
    again.step("train", 4, {"loss": 44}, None)
    found = rows(tmp_path / "csv/train.csv")
    assert [(row["step"], row["loss"]) for row in found] == [("1", "1"), ("2", "2"), ("3", "33"), ("4", "44")]


def test_a_stage_that_begins_anew_leaves_nothing(tmp_path):
    observer = watched(tmp_path)
    for step in (1, 2):
        observer.step("train", step, {"loss": step}, None)
    watched(tmp_path).step("train", 1, {"loss": 9}, None)
    assert [row["loss"] for row in rows(tmp_path / "csv/train.csv")] == ["9"]


def test_a_bench_has_a_row_per_run(tmp_path):
    observer = watched(tmp_path)
    result = {"searcher": "random", "seed": 0, "score": 1.5, "metrics": {"params": 7}, "curve": [[1, 2, 3]]}
    observer.bench_run_end(1, 2, result)
    observer.bench_run_end(2, 2, {**result, "seed": 1})
    watched(tmp_path).bench_run_end(2, 2, {**result, "seed": 1, "score": 2.5})
    assert rows(tmp_path / "csv/bench.csv") == [
        {"searcher": "random", "seed": "0", "score": "1.5", "params": "7"},
        {"searcher": "random", "seed": "1", "score": "2.5", "params": "7"},
    ]


@pytest.mark.parametrize("stage", ["../up", "a/b", "ä"])
def test_any_name_of_a_stage_makes_a_file_in_the_folder(tmp_path, stage):
    watched(tmp_path / "run").step(stage, 1, {"x": 1}, None)
    assert len(list((tmp_path / "run/csv").glob("*.csv"))) == 1


def test_a_run_writes_its_metrics(tmp_path):
    recipe = tiny(run={"observers": ["csv"]}, observers={"csv": {"use": "csv", "path": "tables"}})
    folder = nasforge.run(recipe, out=tmp_path).folder
    assert [row["step"] for row in rows(folder / "tables/train.csv")] == ["1", "2"]
