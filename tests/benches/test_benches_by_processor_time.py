"""Benches in processor time: searchers with and without gradients, with and without a check of the answer."""

import json

import pytest

import nasforge
from nasforge.benches import job as one_run
from nasforge.errors import RecipeError, RunError
from nasforge.plugins import Registry
from nasforge.recipe import check
from support.tiny_recipe import TINY

CONFIRM = {"rungs": [1, 2], "neighbours": 2, "finalists": 2, "repeats": 2}
TABLES = {
    "run": {"name": "b", "threads": 1},
    "data": TINY["data"],
    "space": {
        "use": "nasbench201",
        "search_channels": 4,
        "search_cells": 1,
        "eval_channels": 4,
        "eval_cells": 1,
    },
    "searcher": {"use": "random"},
    "distiller": {"use": "stages"},
    "evaluator": {
        "use": "train",
        "scale": "eval",
        "epochs": 2,
        "epoch_batches": 1,
        "batch_size": 12,
        "budgets": "continue",
        "schedule": "constant",
    },
}
BENCH = {
    "baseline": "draw",
    "searchers": ["draw = fixed", "darts", "checked = darts", "cdarts", "random"],
    "seeds": 1,
    "budget": "60 cpu s",
    "metric": "cifar10_valid_accuracy",
    "options": {
        "darts": {"epochs": 2},
        "checked": {"epochs": 2, "confirm": CONFIRM},
        "cdarts": {"iterations": 2, "warmup_epochs": 1},
        "random": {"evaluations": 3},
    },
}


def bench(folder, **options):
    found = nasforge.bench({**TABLES, "bench": {**BENCH, **options}}, out=folder)
    runs = {}
    for path in sorted((found.folder / "runs").rglob("*.json")):
        row = json.loads(path.read_text())
        runs[row["searcher"], row["seed"]] = row
    return runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return bench(tmp_path_factory.mktemp("bench"))


def test_all_kinds_of_searchers_take_part(runs):
    assert {label for label, _ in runs} == {"draw", "darts", "checked", "cdarts", "random"}
    for row in runs.values():
        assert row["score"] == row["metrics"]["cifar10_valid_accuracy"]
        assert row["stopped"] == "searcher"
        assert 0 <= row["seconds"] < 60
    assert runs["draw", 0]["steps"] == 0
    assert runs["random", 0]["evaluations"] == 3


def test_the_curve_ends_at_the_score(runs):
    for row in runs.values():
        if not row["steps"]:
            assert row["curve"] == []
            continue
        *_, (_, seconds, value) = row["curve"]
        assert value == row["score"]
        assert 0 < seconds <= row["seconds"]
        places = [point[1] for point in row["curve"]]
        assert places == sorted(places)


def test_a_check_belongs_to_the_search(runs):
    plain, checked = runs["darts", 0], runs["checked", 0]
    assert (plain["steps"], checked["steps"]) == (2, 4)
    assert plain["evaluations"] == 0
    assert checked["evaluations"] >= 3 + 2 * 2


def test_the_distiller_goes_to_those_that_need_one(monkeypatch, tmp_path):
    asked = {}

    def remember(job):
        asked[job.label] = "distiller" in job.resolved
        return {
            "searcher": job.label,
            "seed": job.seed,
            "score": 1.0,
            "notation": "",
            "architecture": {},
            "metrics": {},
            "evaluations": 0,
            "seconds": 1.0,
            "steps": 1,
            "stopped": "searcher",
        }

    monkeypatch.setattr("nasforge.benches.run.search_once", remember)
    bench(tmp_path)
    assert asked == {"draw": False, "darts": False, "checked": False, "cdarts": True, "random": False}


def test_the_budget_ends_a_search(monkeypatch, tmp_path):
    now = iter(range(1000))

    class Clock:
        def __init__(self, before=0.0):
            pass

        @property
        def seconds(self):
            return float(next(now))

    monkeypatch.setattr(one_run, "CpuClock", Clock)
    row = bench(
        tmp_path, searchers=["darts"], baseline="darts", budget="3 cpu s", options={"darts": {"epochs": 50}}
    )
    assert row["darts", 0]["stopped"] == "budget"
    assert row["darts", 0]["steps"] == 3


def test_a_stopped_run_goes_on_with_the_time_it_had(monkeypatch, tmp_path):
    monkeypatch.setattr(one_run, "PAUSE", 0.0)
    options = {
        "searchers": ["checked = darts"],
        "baseline": "checked",
        "options": {"checked": BENCH["options"]["checked"]},
    }
    straight = bench(tmp_path / "a", **options)["checked", 0]
    save, count = one_run.checkpoint.save, 0

    def killed(path, state):
        nonlocal count
        save(path, state)
        count += path.parent.name == "checked-0"
        if count == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(one_run.checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        bench(tmp_path / "b", **options)
    saved = one_run.checkpoint.load(tmp_path / "b" / "b" / "work" / "checked-0" / "checkpoint.safetensors")
    assert saved["steps"] == 3
    monkeypatch.setattr(one_run.checkpoint, "save", save)
    again = bench(tmp_path / "b", **options)["checked", 0]
    assert again["seconds"] > saved["cpu"] > 0
    same = ("score", "notation", "evaluations", "steps", "stopped")
    assert {key: again[key] for key in same} == {key: straight[key] for key in same}


def test_an_unknown_metric_is_named_with_those_that_are_known(tmp_path):
    with pytest.raises(
        RunError, match=r"bench.metric: 'cifar10_valid_acuracy'.*Did you mean 'cifar10_valid_accuracy'"
    ):
        bench(tmp_path, searchers=[], baseline="fixed", metric="cifar10_valid_acuracy", options={})


def test_missing_tables_are_said_by_the_check():
    raw = {
        **TABLES,
        "bench": {**BENCH, "searchers": ["cdarts", "random"], "baseline": "fixed", "options": {}},
    }
    without = {name: table for name, table in raw.items() if name not in ("data", "distiller", "evaluator")}
    with pytest.raises(RecipeError) as error:
        check(without, Registry.discover())
    text = str(error.value)
    for words in ("'cdarts' needs a [data] table", "'cdarts' needs a [distiller] table"):
        assert words in text
    assert "'random' needs a [evaluator] table" in text


def test_a_budget_below_the_first_rung_is_refused_before_the_search(tmp_path):
    options = {"random": {"confirm": {"rungs": [1, 2], "repeats": 2}}}
    with pytest.raises(RunError, match=r"9 evaluations end before the first rung of 'random', which has 25"):
        bench(tmp_path, searchers=["random"], baseline="random", budget=9, metric="score", options=options)
    assert not list(tmp_path.rglob("slots"))
