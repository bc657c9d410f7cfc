"""Observers in recipes: names in ``run.observers``, options in tables of their own."""

import json

import pytest

from nasforge.errors import RecipeError
from nasforge.recipe import check, load
from nasforge.runs.folder import differences, fingerprint, inputs_of
from support.recipe_samples import GOOD, REGISTRY


def write(tmp_path, text, name="r.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def observers(recipe):
    return {
        name: (p.plugin.name, p.config.to_json()) for name, p in recipe.parts.items() if "observers" in name
    }


def test_names_and_options(tmp_path):
    text = f'{GOOD}[run]\nobservers = ["bars", "csv"]\n[observers.csv]\nevery = 3\n'
    recipe = load(write(tmp_path, text), REGISTRY)
    assert observers(recipe) == {
        "observers.bars": ("bars", {}),
        "observers.csv": ("csv", {"path": "steps.csv", "every": 3}),
    }
    assert list(observers(recipe)) == ["observers.bars", "observers.csv"]


def test_a_recipe_without_observers_leaves_the_choice_to_the_caller(tmp_path):
    recipe = load(write(tmp_path, GOOD), REGISTRY)
    assert recipe.run.observers is None
    assert observers(recipe) == {}
    assert load(write(tmp_path, GOOD), REGISTRY, overrides=["run.observers=[]"]).run.observers == ()


def test_one_observer_may_be_used_twice(tmp_path):
    text = (
        f'{GOOD}[run]\nobservers = ["csv", "rare"]\n[observers.rare]\nuse = "csv"\nevery = 50\n'
        '[observers.csv]\nuse = "csv"\n'
    )
    found = observers(load(write(tmp_path, text), REGISTRY))
    assert [name for name, _ in found.values()] == ["csv", "csv"]
    assert found["observers.rare"][1]["every"] == 50


def test_the_resolved_recipe_asks_for_the_same(tmp_path):
    text = f'{GOOD}[run]\nobservers = ["bars", "rare"]\n[observers.rare]\nuse = "csv"\nevery = 50\n'
    recipe = load(write(tmp_path, text), REGISTRY)
    resolved = json.loads(json.dumps(recipe.resolved()))
    assert resolved["observers"] == {
        "bars": {"use": "bars"},
        "rare": {"use": "csv", "path": "steps.csv", "every": 50},
    }
    assert check(resolved, REGISTRY) == recipe


def test_observers_are_no_input_of_any_stage(tmp_path):
    without = load(write(tmp_path, GOOD), REGISTRY).resolved()
    text = f'{GOOD}[run]\nobservers = ["csv"]\n[observers.csv]\nevery = 3\n'
    watched = load(write(tmp_path, text), REGISTRY).resolved()
    assert list(differences(without, watched)) == []
    before, after = (fingerprint(inputs_of(r, "data", "space", "searcher")) for r in (without, watched))
    assert before == after
    assert "observers" not in inputs_of(watched, "data")["run"]


PROBLEMS = """\
[run]
observers = ["bras", "csv", "csv", "mail", "shares"]
[observers.csv]
evry = 3
[observers.shares]
use = "samplse"
[observers.cvs]
every = 2
"""


def test_every_problem_is_reported_at_its_line(tmp_path):
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, f"{PROBLEMS}{GOOD}"), REGISTRY)
    assert list(caught.value.problems) == [
        "line 2: run.observers: 'csv' is listed twice. Remove one.",
        "line 2: run.observers: no observer named 'bras'. Did you mean 'bars'?",
        "line 2: run.observers: 'mail' needs options. Write [observers.mail] and file = … below.",
        "line 4: observers.csv.evry: no such option. Did you mean 'every'?",
        "line 6: observers.shares.use: no observer named 'samplse'. Did you mean 'samples'?",
        "line 7: observers.cvs: run.observers lists no observer of that name. Did you mean 'csv'?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("observers = 3", "line 1: observers: must hold tables such as [observers.jsonl]."),
        ('run.observers = "csv"', 'line 1: run.observers: must be a list such as [1, 2], got "csv".'),
        (
            'run.observers = ["csv"]\nobservers.csv = "a.csv"',
            "line 2: observers.csv: must be a table: write [observers.csv] and its options below.",
        ),
        (
            'run.observers = ["a"]\nobservers.a.use = 3',
            'line 2: observers.a.use: must be text. Write use = "…". Known: bars, csv, mail, samples.',
        ),
        (
            "observers.csv.every = 3",
            "line 1: observers.csv: run.observers lists no observer of that name. Add it to "
            "run.observers, or remove this table.",
        ),
        ('run.observers = ["toys"]', "line 1: run.observers: 'toys' is a data, not an observer."),
        (
            'run.observers = ["csv"]\nobservers.csv.every = 0',
            "line 2: observers.csv.every: must be at least 1, got 0.",
        ),
    ],
)
def test_mistakes(tmp_path, text, problem):
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, f"{text}\n{GOOD}"), REGISTRY)
    (found,) = caught.value.problems
    assert found.startswith(problem)


def test_a_wrong_run_table_does_not_hide_what_is_wrong_with_observers(tmp_path):
    text = f'[run]\nobservers = ["csv"]\nsede = 1\n[observers.csv]\nevry = 3\n{GOOD}'
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, text), REGISTRY)
    assert [problem.split(":")[1].strip() for problem in caught.value.problems] == [
        "run.sede",
        "observers.csv.evry",
    ]


def test_what_an_observer_needs_must_be_there():
    tables = {"space": {"use": "cells"}, "searcher": {"use": "fixed"}, "run": {"observers": ["samples"]}}
    with pytest.raises(RecipeError, match=r"observers\.samples\.use: 'samples' needs a \[data\] table"):
        check(tables, REGISTRY)
    assert check({**tables, "data": {"use": "toys"}}, REGISTRY)


def test_profiles_and_sets_reach_options_and_fewer_names_need_no_fewer_tables(tmp_path):
    text = (
        f'{GOOD}[run]\nobservers = ["bars", "csv"]\n[observers.csv]\nevery = 3\npath = "a.csv"\n'
        "[profiles.smoke.observers.csv]\nevery = 1\n"
    )
    path = write(tmp_path, text)
    smoke = load(path, REGISTRY, profile="smoke", overrides=["observers.csv.path=b.csv"])
    assert observers(smoke)["observers.csv"][1] == {"path": "b.csv", "every": 1}
    for names in ("[]", "['bars']"):
        quiet = load(path, REGISTRY, overrides=[f"run.observers={names}"])
        assert "observers.csv" not in quiet.parts
    child = write(tmp_path, 'extends = "r"\n[run]\nobservers = ["bars"]\n', "child.toml")
    assert list(observers(load(child, REGISTRY))) == ["observers.bars"]


def test_a_changed_use_forgets_the_options_of_the_other(tmp_path):
    text = f'{GOOD}[run]\nobservers = ["log"]\n[observers.log]\nuse = "csv"\nevery = 3\n'
    recipe = load(write(tmp_path, text), REGISTRY, overrides=["observers.log.use=bars"])
    assert observers(recipe) == {"observers.log": ("bars", {})}
