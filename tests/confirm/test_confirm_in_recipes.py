"""What a recipe check says about ``[searcher.confirm]``, and a whole run with it."""

import json

import pytest

import nasforge
from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.recipe import check
from support.tiny_recipe import tiny

REGISTRY = Registry.discover()
EVALUATOR = {
    "use": "train",
    "epochs": 2,
    "epoch_batches": 1,
    "score_batches": 1,
    "batch_size": 12,
    "budgets": "continue",
    "schedule": "constant",
    "score": "loss",
    "scale": "eval",
}
CONFIRM = {"rungs": [1, 2], "neighbours": 3, "finalists": 2, "repeats": 2}


def recipe(confirm=None, **tables):
    searcher = {"use": "fixed", "arch": "DARTS_V2", "confirm": {**CONFIRM, **(confirm or {})}}
    return tiny(**{"searcher": searcher, "evaluator": EVALUATOR, "train": None, **tables})


def problems(raw):
    with pytest.raises(RecipeError) as error:
        check(raw, REGISTRY)
    return error.value.problems


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            recipe(evaluator=None),
            "searcher.confirm: needs an [evaluator] table, which trains the candidates.",
        ),
        (
            recipe(evaluator={"use": "zero-cost"}),
            "searcher.confirm.repeats: 2, but evaluator 'zero-cost'",
        ),
        (recipe({"rungs": [2, 1]}), "searcher.confirm.rungs: must grow"),
        (recipe({"finalists": 1}), "searcher.confirm.finalists: must be at least 2"),
        (recipe({"neighbors": 3}), "Did you mean 'neighbours'?"),
        (recipe(data=None), "'train' needs a [data] table."),
        (tiny(searcher={"use": "fixed", "confirm": {"passes": 2}}), "searcher.confirm: has no rungs"),
        (
            recipe(searcher={"use": "nsga2", "objectives": ["score", "-params"], "confirm": CONFIRM}),
            "searcher.confirm: compares by the score alone",
        ),
    ],
)
def test_what_cannot_be_confirmed_is_said_before_anything_runs(raw, words):
    found = problems(raw)
    assert any(words in problem for problem in found), found


@pytest.mark.parametrize(
    ("options", "confirm", "words"),
    [
        ({"epoch_batches": 3}, {}, "evaluator.epoch_batches: 3, but split 'weights' has 2 batches of 12"),
        ({"score_batches": 9}, {}, "evaluator.score_batches: 9, but split 'arch' has 2 batches"),
        ({}, {"rungs": [1, 3]}, "the searcher asks for a budget of 3"),
        ({}, {"neighbours": 900}, "searcher.confirm.neighbours: 900, but an architecture of this space has"),
    ],
)
def test_lengths_that_do_not_fit_are_said_before_the_search(options, confirm, words, tmp_path):
    raw = recipe(confirm, evaluator={**EVALUATOR, **options})
    with pytest.raises(RecipeError) as error:
        nasforge.run(raw, out=tmp_path)
    assert words in str(error.value)
    assert not list(tmp_path.rglob("checkpoint*"))


@pytest.mark.parametrize("space", ["darts", "nasbench201", "chain"])
def test_a_run_confirms_in_every_space(space, tmp_path):
    options = {} if space == "darts" else {"space": {"use": space, **SMALL[space]}}
    raw = recipe(searcher={"use": "random", "evaluations": 1, "confirm": CONFIRM}, **options)
    result = nasforge.run(raw, out=tmp_path)
    found = json.loads((result.folder / "search" / "result.json").read_text())
    (race,) = found["searcher"]["confirm"]["races"]
    assert [len(row["scores"]) for row in race["finalists"]] == [2, 2]
    rows = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["confirm_candidates"] for row in rows if "confirm_candidates" in row] == [4, 2]


@pytest.mark.slow
def test_workers_change_nothing(tmp_path):
    alone = nasforge.run(recipe(), out=tmp_path / "a")
    two = nasforge.run(recipe(run={"name": "tiny", "threads": 1, "workers": 2}), out=tmp_path / "b")
    ours, theirs = (
        json.loads((r.folder / "search" / "result.json").read_text())["searcher"]["confirm"]["races"]
        for r in (alone, two)
    )
    assert ours == theirs


SMALL = {
    "nasbench201": {"channels": 4, "cells": 1, "eval_channels": 4, "eval_cells": 1},
    "chain": {},
}
