"""Finished runs and benches, compared; and runs that cannot be."""

import json
import re

import pytest

import nasforge
from nasforge.errors import RunError
from support.tiny_recipe import tiny


def table(searcher, evaluations=12, **options):
    return {
        "run": {"threads": 1},
        "space": {"use": "nasbench201"},
        "searcher": {"use": searcher, "evaluations": evaluations, **options},
        "evaluator": {"use": "tabular", "dataset": "cifar10"},
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
    ("recipe", "overrides", "words", "name"),
    [
        (
            table("random", 13),
            (),
            r"budget: '12 evaluations' in .*random0, '13 evaluations' in .*other",
            'budget = "13 evaluations"',
        ),
        (
            table("random"),
            ["evaluator.dataset='cifar100'"],
            r"evaluator\.dataset: 'cifar10' in .*'cifar100' in",
            'evaluator.dataset = "cifar100"',
        ),
        (table("random"), ["space.cells=3"], r"space\.cells: 5 in .*, 3 in ", "space.cells = 3"),
        (
            table("random"),
            ["constraints.max_params=1e9"],
            r"constraints\.max_params: nothing in .*random0, 1000000000.* in",
            "constraints.max_params = 1000000000.0",
        ),
    ],
)
def test_runs_that_differ_in_more_have_a_line_each_and_the_difference(
    runs, tmp_path, recipe, overrides, words, name
):
    other = run(tmp_path, recipe, "other", 5, overrides)
    found = nasforge.compare([runs["random", 0], runs["random", 1], other])
    told = [note for note in found.notes if note.startswith("differs: ")]
    assert len(told) == 1
    assert re.search(words, told[0])
    assert [line.runs for line in found.standings] == [2, 1]
    assert found.standings[1].name == f"random ({name})"


def test_runs_with_the_same_seed_and_another_training_are_compared(runs, tmp_path):
    """One searcher and one seed: the setups tell the lines apart, and they are paired."""
    other = run(tmp_path, table("random"), "other", 0, ["evaluator.dataset='cifar100'"])
    found = nasforge.compare([runs["random", 0], other])
    assert [line.name for line in found.standings] == [
        'random (evaluator.dataset = "cifar10")',
        'random (evaluator.dataset = "cifar100")',
    ]
    assert found.standings[1].difference.pairs == 1
    assert "score depends on [evaluator], which differ: it is not the same number in all runs." in found.notes
    apart = found.standings[1].mean - found.standings[0].mean
    assert found.standings[1].difference.mean == pytest.approx(apart)


def test_a_table_of_another_plugin_is_one_difference(runs, tmp_path):
    recipe = {**table("random"), "evaluator": {"use": "zero-cost", "proxies": ["params"]}}
    recipe["data"] = {"use": "synthetic", "image_size": 8, "train_images": 40, "test_images": 10}
    recipe["searcher"]["evaluations"] = 3
    other = run(tmp_path, recipe, "other")
    found = nasforge.compare([runs["random", 0], other], metric="params")
    told = [note for note in found.notes if note.startswith("differs: evaluator")]
    assert len(told) == 1
    assert told[0].startswith("differs: evaluator.use: 'tabular' in ")


def test_a_run_that_was_repeated_is_compared_with_the_first(runs, tmp_path):
    again = run(tmp_path, table("random"), "again")
    found = nasforge.compare([runs["random", 0], runs["random", 1], again])
    assert [(line.name, line.runs) for line in found.standings] == [("random", 2), (f"random ({again})", 1)]
    assert found.standings[1].difference.mean == 0
    assert any("with seed 0, and their recipes do not differ" in note for note in found.notes)


def test_a_difference_may_be_accepted_and_is_told(runs, tmp_path):
    other = run(tmp_path, table("local-search", 20), "other", 1)
    found = nasforge.compare([runs["random", 1], other], allow=["budget"])
    assert "differs: budget: '12 evaluations'" in found.notes[0]
    third = run(tmp_path, table("random", 13), "third", 2)
    found = nasforge.compare([runs["random", 1], third], allow=["budget"])
    assert [(line.name, line.runs) for line in found.standings] == [("random", 2)]
    with pytest.raises(RunError, match=r"--allow budgt: no such table\. Did you mean 'budget'\?"):
        nasforge.compare([runs["random", 1]], allow=["budgt"])


def test_seeds_that_do_not_meet_are_not_paired(runs):
    found = nasforge.compare([runs["random", 0], runs["evolution", 1]])
    assert found.standings[1].difference is None
    assert found.notes == ("evolution and random have no seed in common, so they are not paired.",)


def test_the_same_run_twice_is_a_mistake(runs):
    with pytest.raises(RunError, match=r"random0 is given twice\. Leave one out\."):
        nasforge.compare([runs["random", 0], runs["random", 0]])


def test_folders_that_are_nothing_or_not_finished(runs, tmp_path):
    with pytest.raises(RunError, match="is neither a run nor a bench"):
        nasforge.compare([tmp_path])
    unfinished = run(tmp_path, table("random"), "half")
    (unfinished / "derive" / "result.json").unlink()
    with pytest.raises(RunError, match=r"half: is not finished. Resume it: nasforge run .*half"):
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
