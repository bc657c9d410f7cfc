import json

import pytest

from nasforge_plugins.observers.jsonl.config import JsonLinesConfig
from nasforge_plugins.observers.jsonl.observer import JsonLines


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def test_a_line_per_event_with_the_arguments_by_name(tmp_path):
    observer = JsonLines(JsonLinesConfig())
    observer.setup(tmp_path)
    observer.run_start("mine", {"run": {"seed": 3}})
    observer.stage_start("search", 0, None)
    observer.progress("search", {"done": 0.5})
    observer.step("search", 1, {"loss": 1.5}, "größe")
    observer.stage_end("search", {"steps": 1}, False)
    observer.run_end({"steps": 1})
    observer.close()
    written = rows(tmp_path / "events.jsonl")
    assert all(row.pop("time").endswith("+00:00") for row in written)
    assert written == [
        {"event": "run_start", "name": "mine", "resolved": {"run": {"seed": 3}}},
        {"event": "stage_start", "stage": "search", "done": 0, "total": None},
        {"event": "progress", "stage": "search", "values": {"done": 0.5}},
        {"event": "step", "stage": "search", "step": 1, "metrics": {"loss": 1.5}, "arch": "größe"},
        {"event": "stage_end", "stage": "search", "result": {"steps": 1}, "skipped": False},
        {"event": "run_end", "result": {"steps": 1}},
    ]


def test_a_run_that_continues_appends(tmp_path):
    for _ in range(2):
        observer = JsonLines(JsonLinesConfig())
        observer.setup(tmp_path)
        observer.run_start("mine", {})
    assert len(rows(tmp_path / "events.jsonl")) == 2


def test_benches_are_written_too(tmp_path):
    observer = JsonLines(JsonLinesConfig())
    observer.setup(tmp_path)
    observer.bench_start("b", 0, 1)
    observer.bench_run_end(1, 1, {"searcher": "random", "seed": 0, "score": 1.0})
    observer.bench_end([{"name": "random"}])
    assert [row["event"] for row in rows(tmp_path / "events.jsonl")] == [
        "bench_start",
        "bench_run_end",
        "bench_end",
    ]


@pytest.mark.parametrize("absolute", [True, False])
def test_the_file_may_lie_elsewhere(tmp_path, absolute):
    place = tmp_path / "logs" / "a.jsonl"
    observer = JsonLines(JsonLinesConfig(path=place if absolute else "../logs/a.jsonl"))
    folder = tmp_path / "run"
    folder.mkdir()
    observer.setup(folder)
    observer.run_end({})
    assert len(rows(place)) == 1
    assert list(folder.iterdir()) == []


def test_progress_may_be_left_out(tmp_path):
    observer = JsonLines(JsonLinesConfig(progress=False))
    observer.setup(tmp_path)
    observer.progress("search", {"done": 0.5})
    assert not (tmp_path / "events.jsonl").exists()
    assert JsonLinesConfig(path="~/a.jsonl").path.is_absolute()
