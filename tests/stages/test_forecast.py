"""A run forecasts itself: what is counted is what is done, and measuring changes nothing."""

import json
from collections import Counter
from datetime import datetime, timedelta
from random import Random

import pytest
import torch

from nasforge import run
from nasforge.component import Work
from nasforge.errors import NasforgeError
from nasforge.evaluator import Effort
from nasforge.observer import Observer, Observers
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.folder import RunFolder
from nasforge.runs.scope import TRAIN
from nasforge.runtime import Runtime
from nasforge.stages import forecast as forecasts
from nasforge.stages.forecast import FILE, Forecast, ProfileForecast, StageForecast, forecast_run
from nasforge.stages.runner import Run
from nasforge.stages.search import Search
from nasforge.stages.test import Test as StageTest
from nasforge.stages.train import Train
from nasforge.stages.trial import rehearsing, time_work
from nasforge_plugins.evaluators.train.training import Training
from nasforge_plugins.searchers.gradient.steps import SupernetSteps
from support.tiny_recipe import tiny

CPU = torch.device("cpu")
SEARCH = {
    "space": {"use": "nasbench201", "channels": 4, "cells": 1, "search_channels": 4, "search_cells": 1},
    "searcher": {"use": "cdarts", "iterations": 3, "warmup_epochs": 1, "guard": {"policy": "warn"}},
    "distiller": {"use": "stages"},
}


class Listener(Observer):
    """Keeps forecasts, and interrupts a run after some steps of the search."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.heard, self.stop_after = [], stop_after

    def forecast(self, forecast):
        self.heard.append(forecast)

    def step(self, stage, step, metrics, arch):
        if stage == "search" and step == self.stop_after:
            raise KeyboardInterrupt


def outcome(folder):
    """Return everything that a forecast must not change."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "search": (folder / "search" / "checkpoint.safetensors").read_bytes(),
        "weights": (folder / "train" / "weights.safetensors").read_bytes(),
        "rows": [{k: v for k, v in row.items() if "seconds" not in k} for row in rows],
        "access": sorted((folder / "access.jsonl").read_text().splitlines()),
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return outcome(run(tiny(**SEARCH), out=tmp_path_factory.mktemp("plain")).folder)


def test_a_forecast_changes_no_bit_of_a_run(plain, tmp_path):
    listener = Listener()
    folder = run(tiny(**SEARCH), out=tmp_path, observers=[listener]).folder
    assert outcome(folder) == plain
    before_search, before_training = listener.heard
    assert [s["stage"] for s in before_search["stages"]] == ["search", "train", "test"]
    assert [s["sampled"] for s in before_search["stages"]] == [False, True, True]
    assert [s["stage"] for s in before_training["stages"]] == ["train", "test"]
    assert [s["sampled"] for s in before_training["stages"]] == [False, False]
    assert json.loads((folder / FILE).read_text())["forecasts"] == listener.heard
    assert not (folder / "forecast").exists()


def test_a_forecast_in_the_middle_changes_no_bit_and_counts_what_is_left(plain, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tiny(**SEARCH), out=tmp_path, observers=[Listener(stop_after=2)])
    listener = Listener()
    folder = run(tiny(**SEARCH), out=tmp_path, observers=[listener]).folder
    found = outcome(folder)
    assert {k: found[k] for k in ("search", "weights", "rows")} == {
        k: plain[k] for k in ("search", "weights", "rows")
    }
    units = {w["name"]: w["units"] for w in listener.heard[0]["stages"][0]["works"]}
    assert "batches of the search's warm-up" not in units
    assert units["evaluation networks"] == 1
    assert units["checkpoints of the search"] == 1


def test_nothing_is_measured_where_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(forecasts, "forecast_run", lambda *_: pytest.fail("it was measured"))
    assert not (run(tiny(), out=tmp_path / "a").folder / FILE).exists()
    off = tiny(run={"forecast": False})
    assert not (run(off, out=tmp_path / "b", observers=[Listener()]).folder / FILE).exists()


def make_run(folder, **tables):
    recipe = check(tiny(**tables), Registry.discover())
    return Run(recipe, RunFolder(folder), Runtime.create("cpu"), Observers(()))


def counted(monkeypatch, owner, name):
    """Count the calls of a method."""
    calls, method = Counter(), getattr(owner, name)

    def call(self, *args, **more):
        calls[name] += 1
        return method(self, *args, **more)

    monkeypatch.setattr(owner, name, call)
    return calls


def units_of(forecast):
    return {work.name: work.units for stage in forecast.stages for work in stage.works}


def test_the_batches_of_a_search_are_counted_as_they_are_done(tmp_path, monkeypatch):
    tables = {**SEARCH, "searcher": {**SEARCH["searcher"], "twin": {"interval": 2}}}
    units = units_of(forecast_run(make_run(tmp_path / "f", **tables), [Search()]))
    calls = {n: counted(monkeypatch, SupernetSteps, n) for n in ("step_search", "step_eval", "step_jointly")}
    run(tiny(**tables, train=None), out=tmp_path)
    done = {name: count[name] for name, count in calls.items()}
    assert units["batches of the evaluation's warm-up"] == done["step_eval"]
    assert units["batches of joint training"] == done["step_jointly"]
    assert units["batches of the search's warm-up"] == done["step_search"] - done["step_jointly"]
    assert units["measurements of the guard"] == 2


def test_the_batches_of_a_training_are_counted_as_they_are_done(tmp_path, monkeypatch):
    units = units_of(forecast_run(make_run(tmp_path / "f"), [Search(), Train(), StageTest()]))
    calls = counted(monkeypatch, Training, "step")
    run(tiny(), out=tmp_path)
    assert units["training batches"] == calls["step"] == 4
    assert units["checkpoints of a training"] == 2
    assert units["test batches"] == 3 * 1  # two epochs are measured, and the predictions once more


def test_a_last_batch_that_is_not_full_counts_as_a_part_of_one(tmp_path):
    sized, works = [], {}
    stage_run = make_run(tmp_path, data={"train_images": 30}, train={"batch_size": 24})
    with rehearsing(stage_run) as trial:
        trainer = trial.trainer(TRAIN)
        for work in trainer.workload(trial.space.sample(Random(0)), Effort()):
            works[work.name] = work
        batches = trainer.ctx.data.batches
        trainer.ctx.data.batches = lambda *a, **k: noted(batches(*a, **k), sized)
        for _ in range(3):
            works["training batches"].run()
    assert works["training batches"].units == 2 * 30 / 24
    assert sized == [24, 6, 24, 6, 24], "those of 6 are read and not timed"


def noted(batches, sized):
    for batch in batches:
        sized.append(len(batch[1]))
        yield batch


def test_a_known_architecture_is_not_guessed(tmp_path):
    forecast = forecast_run(make_run(tmp_path), [Search(), Train()])
    assert [(s.stage, s.sampled) for s in forecast.stages] == [("train", False)]


def test_black_box_searches_are_counted_by_evaluations(tmp_path, monkeypatch):
    tables = {
        "searcher": {"use": "random", "evaluations": 5},
        "evaluator": {"use": "train", "epochs": 3, "batch_size": 6},
        "train": None,
    }
    units = units_of(forecast_run(make_run(tmp_path / "f", **tables), [Search()]))
    calls = counted(monkeypatch, Training, "step")
    run(tiny(**tables), out=tmp_path)
    assert units["training batches"] == pytest.approx(calls["step"])
    assert units["networks built"] == pytest.approx(5)


def test_workers_share_what_can_be_shared():
    now = [0.0]

    def unit():
        now[0] += 1.0

    works = [Work("evaluations", 8, unit, shared=True), Work("batches", 8, unit)]
    timed = time_work(works, CPU, workers=4, clock=lambda: now[0])
    assert {work.name: work.seconds for work in timed} == {"evaluations": 0.25, "batches": 1.0}


def test_what_is_built_in_the_first_unit_is_not_timed():
    now, lengths = [0.0], iter([9.0, 1.0, 3.0])

    def unit():
        now[0] += next(lengths)

    (timed,) = time_work([Work("units", 100, unit)], CPU, clock=lambda: now[0])
    assert timed.seconds in (1.0, 2.0)
    assert timed.units == 100


@pytest.mark.parametrize(("once", "seconds"), [(20.0, 1.0), (5.0, 9.0)])
def test_a_long_first_unit_is_not_repeated(once, seconds):
    now, lengths = [0.0], iter([9.0, 1.0, 1.0, 1.0])

    def unit():
        now[0] += next(lengths)

    (timed,) = time_work([Work("units", 100, unit)], CPU, clock=lambda: now[0], once=once)
    assert timed.seconds == seconds


def test_works_of_one_name_are_added_up_by_their_units():
    def lasting(seconds):
        def unit():
            now[0] += seconds

        return unit

    now = [0.0]
    works = [Work("a", 10, lasting(1.0)), Work("b", 0, lasting(7.0)), Work("a", 30, lasting(2.0))]
    (timed,) = time_work(works, CPU, clock=lambda: now[0])
    assert (timed.name, timed.units, timed.seconds) == ("a", 40, pytest.approx(1.75))


NOON = datetime(2026, 3, 14, 12)


def test_the_forecast_in_words():
    stages = [
        StageForecast("search", 7000.0, 2500.0),
        StageForecast("train", 90.0, 300.0, sampled=True),
    ]
    forecast = Forecast(stages, "cpu with 2 threads", NOON, profiles=[ProfileForecast("cpu", 60.0)])
    assert forecast.ends == NOON + timedelta(seconds=7090)
    assert forecast.lines() == [
        "forecast on cpu with 2 threads:",
        "  search  about 1 h 57 min  2.4 GiB",
        "  train   about 90 s        300 MiB  mean of random architectures",
        "  ends at 13:58, after about 1 h 58 min",
        "  with --profile cpu: about 60 s",
    ]


def test_an_unknown_stage_leaves_the_end_open():
    forecast = Forecast([StageForecast("search", None), StageForecast("train", 9.0)], "cpu", NOON)
    assert forecast.seconds is None
    assert forecast.ends is None
    assert forecast.lines()[1] == "  search  time unknown    its parts do not name their work"


def test_a_run_of_a_moment_says_nothing(tmp_path):
    forecast = forecast_run(make_run(tmp_path, train=None), [Search()])
    assert (forecast.seconds, forecast.lines()) == (0, [])


def test_a_later_day_is_named():
    forecast = Forecast([StageForecast("train", 3 * 86400.0)], "cpu", NOON)
    assert forecast.lines()[-1] == "  ends on Tue 17 Mar at 12:00, after about 3 d 0 h"


PROFILED = {
    **tiny(train={"use": "train", "epochs": 4, "batch_size": 24}),
    "profiles": {
        "smoke": {"train": {"epochs": 1}},
        "larger": {"train": {"epochs": 90}},
        "broken": {"searcher": {"arch": "no such architecture"}},
    },
}


def test_a_long_run_names_the_profiles_that_take_less(tmp_path, monkeypatch):
    monkeypatch.setattr(forecasts, "LONG", 0.0)
    listener = Listener()
    folder = run(PROFILED, out=tmp_path, observers=[listener]).folder
    first = listener.heard[0]
    found = {profile["profile"]: profile for profile in first["profiles"]}
    assert set(found) == {"smoke", "broken"}
    assert found["smoke"]["seconds"] < first["seconds"]
    assert "no such architecture" in found["broken"]["problem"]
    assert any(line.startswith("  with --profile smoke: about ") for line in first["text"])
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith("forecast")) == [FILE]


def test_a_forecast_that_fails_costs_no_run(tmp_path, monkeypatch):
    def refuse(self, trial):
        raise NasforgeError("the disk is full.")

    monkeypatch.setattr(Train, "workload", refuse)
    with pytest.warns(UserWarning, match="forecast: cannot be made: the disk is full"):
        found = run(tiny(), out=tmp_path, observers=[Listener()])
    assert "test" in found.results


def test_a_plugin_that_does_not_know_its_work_leaves_the_time_open(tmp_path, monkeypatch):
    from nasforge.evaluator import Evaluator
    from nasforge_plugins.evaluators.train.evaluator import Trainer

    monkeypatch.setattr(Trainer, "workload", Evaluator.workload)
    forecast = forecast_run(make_run(tmp_path), [Search(), Train(), StageTest()])
    assert [(s.stage, s.seconds is None) for s in forecast.stages] == [("train", True), ("test", False)]
