"""Benches of fronts: the hypervolume of what a search evaluated, and limits of single searchers."""

import csv
import json

import pytest

import nasforge
from nasforge.cli import run_command
from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.recipe import check

SPACE = """
from nasforge import Arch, Choice, Plugin, SearchSpace, hookimpl
from nasforge.errors import ArchError


class Pairs(SearchSpace):
    choices = tuple(Choice(name, tuple("0123456789")) for name in ("tens", "ones"))

    def parse(self, text):
        if not (text.isdecimal() and len(text) == 2):
            raise ArchError(f"{text!r}: write two digits.")
        return Arch({"tens": text[0], "ones": text[1]})

    def notation(self, arch):
        return arch["tens"][0] + arch["ones"][0]


@hookimpl
def nasforge_plugins():
    return [Plugin("space", "pairs", f"{__name__}:Pairs")]
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A table of 95 of 100 architectures: accuracy, milliseconds, and energy of every second one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))
    (tmp_path / "pairs.py").write_text(SPACE)
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["pair", "acc", "ms", "mj"])
        for n in range(95):
            rows.writerow([f"{n:02}", 50 + n % 10 + 3 * (n // 10), n // 10, n if n % 2 else ""])
    tables = {
        "run": {"name": "pairs"},
        "plugins": {"modules": ["./pairs.py"]},
        "space": {"use": "pairs"},
        "searcher": {"use": "evolution", "population": 5, "tournament": 2},
        "evaluator": {"use": "tabular", "table": "pairs"},
        "bench": {
            "searchers": ["evolution", "small = evolution"],
            "seeds": 3,
            "budget": 30,
            "metric": "hypervolume",
            "hypervolume": {"objectives": ["score", "-ms"], "reference": [50, 10]},
            "limits": {"small": {"max_metrics": {"ms": 2}}},
        },
    }
    (tmp_path / "pairs.toml").write_text('plugins.modules = ["./pairs.py"]\nspace.use = "pairs"\n')
    flags = ["--recipe", "pairs.toml", "--arch-column", "pair", "--missing", ""]
    metrics = ["--metric", "acc:max", "--metric", "ms:min", "--metric", "mj:min"]
    assert run_command(["tables", "import", "pairs.csv", *flags, *metrics]) == 0
    return tables


def best_within(rows, limit):
    """The hypervolume of all rows up to a limit, counted in unit squares: accuracies and ms are whole."""
    points = [(acc, 10 - ms) for acc, ms in rows if ms <= limit]
    return sum(any(acc > x and room > y for acc, room in points) for x in range(50, 100) for y in range(10))


def test_hypervolume_and_limits(recipe, tmp_path):
    result = nasforge.bench(recipe, out=tmp_path / "benches")
    rows = [(50 + n % 10 + 3 * (n // 10), n // 10) for n in range(95)]
    whole, small = best_within(rows, 9), best_within(rows, 2)
    for label, most in (("random", whole), ("evolution", whole), ("small", small)):
        for seed in range(3):
            found = json.loads((result.folder / "runs" / label / f"{seed}.json").read_text())
            assert 0 < found["score"] <= most
            if label == "small":
                assert int(found["notation"][0]) <= 2
    # Thirty architectures of at most 3 ms are all there are, so that search finds the best front of them.
    assert {s.name: s.mean for s in result.standings}["small"] == pytest.approx(small, rel=0.05)


def test_a_search_proposes_only_what_the_table_holds(recipe, tmp_path):
    body = {k: v for k, v in recipe.items() if k != "bench"}
    body["evaluator"] = {**body["evaluator"], "require": ["mj"]}
    body["searcher"] = {**body["searcher"], "evaluations": 40}
    result = nasforge.run(body, out=tmp_path / "runs")
    lines = (result.folder / "search" / "trajectory.jsonl").read_text().splitlines()
    assert len(lines) == 40
    assert all("mj" in line for line in lines)
    assert "failed" not in result.results["search"]
    body["constraints"] = {"max_metrics": {"ms": -1}}
    with pytest.raises(RecipeError, match=r"max_metrics.ms = -1 \(the smallest seen so far: 0\)"):
        nasforge.run(body, out=tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": "hypervolume", "hypervolume": None}, "needs [bench.hypervolume] with objectives"),
        ({"hypervolume": {"objectives": ["score"], "reference": [1, 2]}}, "must have two entries"),
        (
            {"hypervolume": {"objectives": ["score", "-m"], "reference": [1, 2]}},
            "reports no 'm'. Did you mean",
        ),
        (
            {"limits": {"smal": {"max_metrics": {"ms": 1}}}},
            "no searcher of this bench has that name. Did you",
        ),
        ({"limits": {"small": {"max_metrics": {"mss": 1}}}}, "'tabular' knows no 'mss'. Did you mean 'ms'?"),
    ],
)
def test_what_is_refused(recipe, change, words):
    bench = {k: v for k, v in {**recipe["bench"], **change}.items() if v is not None}
    with pytest.raises(RecipeError) as error:
        check({**recipe, "bench": bench}, Registry.discover())
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("constraints", "evaluator", "words"),
    [
        (
            {"max_metrics": {"mss": 1}},
            {"use": "tabular", "table": "pairs"},
            "knows no 'mss'. Did you mean 'ms'?",
        ),
        (
            {"max_metrics": {"params": 1}},
            {"use": "zero-cost"},
            "needs an evaluator that knows 'params' before an evaluation, found 'zero-cost'",
        ),
        (
            {"max_params": 5, "max_metrics": {"params": 1}},
            {"use": "tabular", "table": "pairs"},
            "max_params and max_metrics.params limit the same number",
        ),
        ({}, {"use": "tabular"}, "needs a space with TabularSpace, which 'pairs' lacks"),
    ],
)
def test_limits_on_metrics_that_are_refused(recipe, constraints, evaluator, words):
    body = {k: v for k, v in recipe.items() if k != "bench"}
    with pytest.raises(RecipeError) as error:
        check({**body, "constraints": constraints, "evaluator": evaluator}, Registry.discover())
    assert words in str(error.value)
