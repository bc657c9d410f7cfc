"""Latency of the exported file as an objective of a search and of a bench. No test asserts a duration."""

import json

import pytest

import nasforge
from nasforge.cost.latency import Timing
from nasforge.exports.latency import OnnxBackend
from nasforge.observer import Observer
from support.tiny_recipe import tiny

pytest.importorskip("onnxscript")

RECIPE = tiny(
    space={"use": "nasbench201", "channels": 2, "cells": 1},
    searcher={"use": "nsga2", "evaluations": 4, "population": 2, "objectives": ["score", "-latency_ms"]},
    evaluator={"use": "tabular"},
    constraints={"latency": "measured"},
    latency={"backend": "onnxruntime", "runs": 2},
    run={"report": False},
    train=None,
)


class Listener(Observer):
    """Keeps the names of the work that is forecast."""

    def forecast(self, forecast):
        self.works = {work["name"]: work["units"] for work in forecast["stages"][0]["works"]}


@pytest.fixture
def by_weights(monkeypatch):
    """Files are not written: a network takes as many milliseconds as it has hundreds of weights."""

    def time(self, jobs, *, runs, warmup, clock="wall", report=lambda share: None):
        sizes = [sum(p.numel() for p in job.module.parameters()) / 100 for job in jobs]
        return [Timing(size, size, size, runs) for size in sizes]

    monkeypatch.setattr(OnnxBackend, "time", time)


def check_front(folder):
    rows = [json.loads(line) for line in (folder / "latency.jsonl").read_text().splitlines()]
    timed = {row["key"]: row["median_ms"] for row in rows if row["device"] == "onnxruntime"}
    front = json.loads((folder / "derive" / "front.json").read_text())["front"]
    assert front
    for row in front:
        assert row["latency_ms"] == timed[row["key"]] > 0


def test_a_search_weighs_the_latency_of_exported_files(by_weights, tmp_path):
    listener = Listener()
    check_front(nasforge.run(RECIPE, out=tmp_path, observers=[listener]).folder)
    assert listener.works["costs of candidates"] == 4


def test_a_bench_measures_the_hypervolume_with_these_latencies(by_weights, tmp_path):
    sets = ['bench.metric="hypervolume"', "bench.hypervolume.reference=[0.0, 1000.0]"]
    found = nasforge.bench(RECIPE, sets, searchers=["nsga2", "random"], seeds=1, budget=3, out=tmp_path)
    for label in ("nsga2", "random"):
        (path,) = tmp_path.glob(f"*/runs/{label}/0.json")
        assert 0 < json.loads(path.read_text())["score"] < 100 * 1000
    assert len(found.standings) == 2
