"""Observers of benches: the order of calls, those of the recipe, and no influence on the results."""

import json

import pytest

import nasforge
from nasforge.observer import Observer

TABLES = {
    "run": {"name": "b", "threads": 1},
    "space": {"use": "nasbench201"},
    "searcher": {"use": "random"},
    "evaluator": {"use": "tabular"},
    "bench": {"seeds": 2, "budget": 3},
}


class Listener(Observer):
    def __init__(self):
        super().__init__()
        self.heard = []

    def setup(self, folder):
        self.heard.append(("setup", folder.name))
        assert (folder / "bench.json").exists()

    def bench_start(self, name, done, total):
        self.heard.append(("start", name, done, total))

    def bench_run_end(self, done, total, result):
        self.heard.append(("run", done, total, result["searcher"], result["seed"]))

    def bench_end(self, standings):
        self.heard.append(("end", [line["name"] for line in standings]))

    def close(self):
        self.heard.append(("close",))


def test_calls_come_in_order(tmp_path):
    first, second = Listener(), Listener()
    nasforge.bench(TABLES, out=tmp_path, observers=[first])
    runs = [("run", 1, 2, "random", 0), ("run", 2, 2, "random", 1)]
    end = [("end", ["random"]), ("close",)]
    assert first.heard == [("setup", "b"), ("start", "b", 0, 2), *runs, *end]
    nasforge.bench(TABLES, out=tmp_path, observers=[second])
    assert second.heard == [("setup", "b"), ("start", "b", 2, 2), *end]


def test_an_observer_is_closed_when_a_bench_is_stopped(tmp_path):
    class Stop(Listener):
        def bench_run_end(self, done, total, result):
            raise KeyboardInterrupt

    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        nasforge.bench(TABLES, out=tmp_path, observers=[stop])
    assert stop.heard[-1] == ("close",)


def test_the_recipe_names_observers_and_they_are_no_input_of_the_bench(tmp_path):
    jsonl = {"path": "b.jsonl"}
    recipe = {**TABLES, "run": {**TABLES["run"], "observers": ["jsonl"]}, "observers": {"jsonl": jsonl}}
    found = nasforge.bench(recipe, out=tmp_path)
    events = [json.loads(line) for line in (found.folder / "b.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["bench_start", *["bench_run_end"] * 2, "bench_end"]
    assert events[1]["result"]["searcher"] == events[3]["standings"][0]["name"] == "random"
    assert nasforge.bench(TABLES, out=tmp_path).done_before == 2


def test_results_are_handed_over_as_copies(tmp_path):
    class Cheat(Observer):
        def bench_run_end(self, done, total, result):
            result["score"] = 1000.0

        def bench_end(self, standings):
            standings.clear()

    found = nasforge.bench(TABLES, out=tmp_path, observers=[Cheat()])
    assert len(found.standings) == 1
    assert found.standings[0].best <= 100


def test_an_observer_that_fails_is_dropped_and_closed(tmp_path):
    class Broken(Listener):
        def bench_run_end(self, done, total, result):
            raise OSError("the disk is full")

    broken = Broken()
    with pytest.warns(UserWarning, match="observer Broken failed and is dropped: .*the disk is full"):
        found = nasforge.bench(TABLES, out=tmp_path, observers=[broken])
    assert found.standings[0].runs == 2
    assert broken.heard[2:] == [("close",)]
