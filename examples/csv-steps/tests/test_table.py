"""The file has a column per name, whenever it appears, and is continued."""

import csv
from pathlib import Path

from csv_steps.config import CsvStepsObserverConfig
from csv_steps.observer import CsvStepsObserver
from csv_steps.table import Table


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def test_a_new_name_is_a_new_column(tmp_path: Path) -> None:
    table = Table(tmp_path / "deep" / "a.csv")
    table.add({"step": 1, "loss": 2.5})
    table.add({"step": 2, "accuracy": 90})
    table.add({"loss": 1.5})
    assert read(table.path) == [
        {"step": "1", "loss": "2.5", "accuracy": ""},
        {"step": "2", "loss": "", "accuracy": "90"},
        {"step": "", "loss": "1.5", "accuracy": ""},
    ]


def test_a_file_is_continued(tmp_path: Path) -> None:
    Table(tmp_path / "a.csv").add({"step": 1, "loss": 2.5})
    Table(tmp_path / "a.csv").add({"loss": 1.5, "step": 2})
    assert [row["step"] for row in read(tmp_path / "a.csv")] == ["1", "2"]


def observe(folder: Path, **options: object) -> list[dict[str, str]]:
    observer = CsvStepsObserver(CsvStepsObserverConfig.model_validate(options))
    observer.setup(folder)
    observer.step("search", 1, {"loss": 2.5}, "conv, skip")
    observer.step("train", 1, {"accuracy": 90.0}, None)
    observer.close()
    return read(folder / "steps.csv")


def test_steps_of_all_stages_are_rows(tmp_path: Path) -> None:
    assert observe(tmp_path) == [
        {"stage": "search", "step": "1", "architecture": "conv, skip", "loss": "2.5", "accuracy": ""},
        {"stage": "train", "step": "1", "architecture": "", "loss": "", "accuracy": "90.0"},
    ]


def test_notations_may_be_left_out(tmp_path: Path) -> None:
    assert "architecture" not in observe(tmp_path, notation=False)[0]


def test_runs_of_a_bench_are_rows(tmp_path: Path) -> None:
    observer = CsvStepsObserver(CsvStepsObserverConfig())
    observer.setup(tmp_path)
    found = {"searcher": "random", "seed": 3, "score": 91.5, "notation": "conv", "metrics": {"params": 7}}
    observer.bench_run_end(1, 2, found)
    row = {"searcher": "random", "seed": "3", "score": "91.5", "architecture": "conv", "params": "7"}
    assert read(tmp_path / "steps.csv") == [row]
