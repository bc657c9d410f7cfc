"""Finished runs and benches, compared; and runs that cannot be."""

import json

import pytest

import nasforge
from nasforge.errors import RunError
from support.tiny_recipe import tiny


def table(searcher, evaluations=12, **options):
    return {
        "run": {"threads": 1},
        "space": {"use": "nasbench201"},
        "searcher": {"use": searcher, "evaluations": evaluations, **options},
        "evaluator": {"use": "tabular"},
    }


def run(out, recipe, name, seed=0, overrides=()):
    return nasforge.run(recipe, [f"run.name='{name}'", *overrides], seed=seed, out=out).folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds of two searchers, and what each returned."""
    out = tmp_path_factory.mktemp("runs")
    made = {}
    for searcher, options in (("random", {}), ("evolution", {"population": 4, "tournament": 2})):
        for seed in range(3):
            made[searcher, seed] = run(out, table(searcher, **options), f"{searcher}{seed}", seed)
    return made


def score(folder):
    return json.loads((folder / "derive" / "result.json").read_text())["looked_up"]["cifar10_valid_accuracy"]


def test_runs_are_grouped_by_searcher_and_paired_by_seed(runs):
    found = nasforge.compare(list(runs.values()))
    assert (found.metric, found.baseline, found.notes) == ("score", "random", ())
    random, evolution = found.standings
    assert (random.name, random.runs, evolution.name, evolution.runs) == ("random", 3, "evolution", 3)
    each = [score(runs["evolution", seed]) - score(runs["random", seed]) for seed in range(3)]
    assert evolution.difference.mean == pytest.approx(sum(each) / 3)
    assert evolution.difference.better == sum(d > 0 for d in each)
    assert evolution.evaluations == 12


def test_the_installed_baseline_is_compared_with_wherever_it_stands(runs, monkeypatch):
    folders = [*(runs["evolution", seed] for seed in range(3)), *(runs["random", seed] for seed in range(3))]
    assert nasforge.compare(folders).baseline == "random"
    monkeypatch.setattr("nasforge.benches.compare.installed_baselines", lambda registry: [])
    assert nasforge.compare(folders).baseline == "evolution"


def test_another_metric_and_another_baseline(runs):
    found = nasforge.compare(list(runs.values()), metric="params", baseline="evolution")
    assert (found.metric, found.baseline) == ("params", "evolution")
    assert found.standings[0].difference.pairs == 3
    assert nasforge.compare(list(runs.values()), metric="cifar100_valid_accuracy").metric.startswith(
        "cifar100"
    )
    with pytest.raises(RunError, match=r"not every run has a number 'parms'\. Did you mean 'params'\?"):
        nasforge.compare(list(runs.values()), metric="parms")
    with pytest.raises(
        RunError, match=r"--baseline evolutio: no such searcher here\. Did you mean 'evolution'\?"
    ):
        nasforge.compare(list(runs.values()), baseline="evolutio")


def test_options_that_differ_tell_searchers_of_one_name_apart(runs, tmp_path):
    other = run(tmp_path, table("evolution", population=6, tournament=2), "x")
    found = nasforge.compare([*runs.values(), other])
    assert [line.name for line in found.standings] == [
        *("random", "evolution (population = 4)", "evolution (population = 6)")
    ]
    assert found.notes == (
        "evolution (population = 6) and random have one seed in common: that shows no difference.",
    )


@pytest.mark.parametrize(
    ("recipe", "overrides", "words"),
    [
        (table("random", 13), (), r"budget: '12 evaluations' in .*random0, '13 evaluations' in .*other"),
        (
            table("random"),
            ["evaluator.dataset='cifar100'"],
            r"evaluator\.dataset: 'cifar10' in .*'cifar100' in",
        ),
        (table("random"), ["space.cells=3"], r"space\.cells: 5 in .*, 3 in "),
        (
            table("random"),
            ["constraints.max_params=1e9"],
            r"constraints: nothing in .*random0, use = None in",
        ),
    ],
)
def test_runs_that_differ_in_more_are_refused_with_the_difference(runs, tmp_path, recipe, overrides, words):
    other = run(tmp_path, recipe, "other", 5, overrides)
    with pytest.raises(RunError, match="differ in more than searcher and seed") as caught:
        nasforge.compare([runs["random", 0], other])
    assert pytest.approx(1) == len(str(caught.value).splitlines()) - 2
    import re

    assert re.search(words, str(caught.value)) or "constraints" in words


def test_a_difference_may_be_accepted_and_is_told(runs, tmp_path):
    other = run(tmp_path, table("local-search", 20), "other", 1)
    found = nasforge.compare([runs["random", 1], other], allow=["budget"])
    assert "differs: budget: '12 evaluations'" in found.notes[0]
    with pytest.raises(RunError, match=r"--allow budgt: no such table\. Did you mean 'budget'\?"):
        nasforge.compare([runs["random", 1]], allow=["budgt"])


def test_seeds_that_do_not_meet_are_not_paired(runs):
    found = nasforge.compare([runs["random", 0], runs["evolution", 1]])
    assert found.standings[1].difference is None
    assert found.notes == ("evolution and random have no seed in common, so they are not paired.",)


def test_the_same_run_twice_is_a_mistake(runs):
    with pytest.raises(RunError, match="are both 'random' with seed 0"):
        nasforge.compare([runs["random", 0], runs["random", 0]])


def test_folders_that_are_nothing_or_not_finished(runs, tmp_path):
    with pytest.raises(RunError, match="is neither a run nor a bench"):
        nasforge.compare([tmp_path])
    unfinished = run(tmp_path, table("random"), "half")
    (unfinished / "derive" / "result.json").unlink()
    with pytest.raises(RunError, match=r"half: is not finished. Go on with it: nasforge run .*half"):
        nasforge.compare([runs["random", 0], unfinished])


def test_benches_join(tmp_path):
    bench = {"seeds": 2, "budget": 12}
    first = nasforge.bench(table("random"), searchers=["local-search"], out=tmp_path / "a", **bench)
    second = nasforge.bench(table("random"), searchers=["grid"], out=tmp_path / "b", **bench)
    alone = nasforge.compare([first.folder])
    assert (alone.standings, alone.baseline) == (first.standings, "random")
    both = nasforge.compare([first.folder, second.folder])
    lines = {line.name: line for line in both.standings}
    other = f"random ({second.folder})"
    assert set(lines) == {f"random ({first.folder})", "local-search", other, "grid"}
    assert lines[other].difference.mean == 0


def test_a_bench_and_runs_of_the_same_kind_can_be_compared(runs, tmp_path):
    found = nasforge.bench(table("grid"), seeds=3, budget=12, baseline=None, out=tmp_path) if False else None
    del found
    bench = nasforge.bench(table("grid"), ["bench.baseline='grid'"], seeds=3, budget=12, out=tmp_path)
    compared = nasforge.compare([bench.folder, *(runs["evolution", seed] for seed in range(3))])
    assert [line.name for line in compared.standings] == ["grid", "evolution"]
    assert compared.standings[1].difference.pairs == 3


def test_trained_runs_are_compared_by_their_test_accuracy(tmp_path):
    folders = [run(tmp_path, tiny(), f"t{seed}", seed) for seed in (0, 1)]
    found = nasforge.compare(folders)
    assert found.metric == "accuracy"
    tested = [json.loads((f / "test" / "result.json").read_text())["accuracy"] for f in folders]
    assert found.standings[0].mean == pytest.approx(sum(tested) / 2)
