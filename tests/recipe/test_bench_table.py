"""The ``[bench]`` table: budgets, searchers with options of their own, and mistakes, all at once."""

import pytest

from nasforge.errors import RecipeError
from nasforge.plugins import Plugin, Registry
from nasforge.recipe import check, load
from nasforge.recipe.bench_table import CEILING, installed_baselines
from nasforge.recipe.budget import Budget
from nasforge.searcher import BaselineSearcher

REGISTRY = Registry.discover()


def recipe(bench=None, **searcher):
    tables = {
        "space": {"use": "nasbench201"},
        "searcher": {"use": "evolution", **searcher},
        "evaluator": {"use": "tabular"},
    }
    return tables if bench is None else {**tables, "bench": bench}


def read(bench, overrides=(), **searcher):
    return check(recipe(bench, **searcher), REGISTRY, overrides=overrides).bench


def problems(bench, tables=None, **searcher):
    with pytest.raises(RecipeError) as caught:
        check({**recipe(bench, **searcher), **(tables or {})}, REGISTRY)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        (150, "evaluations", 150),
        ("150", "evaluations", 150),
        ("150 evaluations", "evaluations", 150),
        ("20000 s", "seconds", 20_000),
        ("2e4s", "seconds", 20_000),
        ("300 seconds", "seconds", 300),
        ("1.5 min", "seconds", 90),
        ("5.5 h", "seconds", 19_800),
        ("2 d", "seconds", 172_800),
        ("30 cpu min", "cpu seconds", 1_800),
        ("90 cpu s", "cpu seconds", 90),
    ],
)
def test_budgets(text, unit, amount):
    assert Budget.parse(text) == Budget(unit, amount)
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize(
    "text", [0, "0 s", -1, "-5 s", "1.5", "0.5 evaluations", "3 weeks", "9 cpu", "", "s", True]
)
def test_no_budgets(text):
    with pytest.raises(ValueError, match=r"must be (a number of|one) evaluation"):
        Budget.parse(text)


def test_a_budget_ends():
    with pytest.raises(ValueError, match="must be a finite amount"):
        Budget.parse("1e400 s")


def test_the_baseline_takes_part_and_comes_first():
    assert [
        e.label for e in read({"searchers": ["evolution", "grid"], "budget": 9}, population=4).entrants
    ] == [*("random", "evolution", "grid")]
    found = read({"searchers": ["grid", "random", "local-search"], "baseline": "local-search", "budget": 9})
    assert [e.label for e in found.entrants] == ["local-search", "grid", "random"]
    assert found.baseline.label == "local-search"


def test_without_names_it_is_the_searcher_of_the_recipe():
    found = read({"seeds": 3}, evaluations=77)
    assert [e.label for e in found.entrants] == ["random", "evolution"]
    assert (found.seeds, found.budget) == ((0, 1, 2), Budget("evaluations", 77))


def test_seeds_count_from_that_of_the_recipe():
    tables = {**recipe({"seeds": 2}, evaluations=60), "run": {"seed": 7}}
    assert check(tables, REGISTRY).bench.seeds == (7, 8)


def test_the_searcher_of_the_recipe_brings_its_options_and_the_budget_ends_the_search():
    bench = {
        "searchers": ["evolution", "small = evolution", "nsga2"],
        "budget": 40,
        "options": {"small": {"population": 3}, "nsga2": {"evaluations": 25}},
    }
    _, plain, small, nsga2 = read(bench, population=8, tournament=2, evaluations=500).entrants
    assert (plain.config.population, plain.config.tournament, plain.config.evaluations) == (8, 2, CEILING)
    assert (small.plugin.name, small.config.population, small.config.tournament) == ("evolution", 3, 2)
    assert (nsga2.config.population, nsga2.config.evaluations) == (20, 25)


def test_an_override_changes_one_option_and_leaves_the_others():
    bench = {
        "budget": 40,
        "searchers": ["evolution", "local-search"],
        "options": {"evolution": {"population": 9, "tournament": 3}, "local-search": {"starts": 2}},
    }
    _, evolution, local = read(bench, ["bench.options.evolution.population=11", "bench.seeds=4"]).entrants
    assert (evolution.config.population, evolution.config.tournament, local.config.starts) == (11, 3, 2)


def test_a_run_knows_nothing_of_it():
    plain, with_bench = check(recipe(), REGISTRY), check(recipe({"budget": 60}), REGISTRY)
    assert plain == with_bench
    assert plain.resolved() == with_bench.resolved()
    assert plain.bench is None


def test_all_mistakes_at_once():
    found = problems(
        {
            "searchers": [
                "evolution",
                "loca-search",
                "darts",
                "fixed",
                "grid",
                "grid",
                "x =",
                "small=evolution",
            ],
            "budget": 10,
            "options": {"evolution": {"tournament": 0}, "small": {"populaton": 3}, "big": {}},
        },
        population=4,
    )
    text = "\n".join(found)
    assert len(found) == 8
    assert "bench.searchers: no searcher named 'loca-search'. Did you mean 'local-search'?" in text
    assert "'darts' proposes no architectures to an evaluator (it needs data and space with Net" in text
    assert 'Write a budget such as "30 cpu min". Without that, these can: asha, bananas, evolution' in text
    assert "'fixed' proposes no architectures to an evaluator (it needs no evaluator)" in text
    assert "'grid' is there twice. Give one another name: \"grid-2 = grid\"." in text
    assert "'x =': write a searcher's name" in text
    assert "bench.options.evolution.tournament: must be at least 1, got 0." in text
    assert "bench.options.small.populaton: no such option. Did you mean 'population'?" in text
    assert "bench.options.big: no searcher of this bench has that name." in text


def test_what_the_budget_makes_impossible_is_noticed():
    (problem,) = problems({"budget": 10}, population=20)
    assert problem == "bench.options.evolution: population (20) must not be above evaluations (10)."
    assert "must be one evaluation or more, got 0" in problems({"budget": 0})[0]


def test_a_bench_needs_an_evaluator_and_a_budget():
    images = {"data": {"use": "digits"}, "searcher": {"use": "darts"}}
    tables = {**recipe({"budget": 5, "searchers": ["grid"]}), **images}
    del tables["evaluator"]
    with pytest.raises(RecipeError, match=r"bench: needs an \[evaluator\] table\. Known: .*tabular"):
        check(tables, REGISTRY)
    assert "has no budget" in problems({"searchers": ["random"]}, {"searcher": {"use": "grid"}})[0]
    assert "must be a table" in problems(3)[0]


def test_mistakes_of_the_searcher_table_are_told_once():
    assert len(problems({"budget": 60}, populatio=3)) == 1


def test_a_baseline_that_is_none():
    assert "bench.baseline: no searcher named 'randm'. Did you mean 'random'?" in problems(
        {"budget": 60, "baseline": "randm"}
    )


class Plain(BaselineSearcher):
    """A searcher that may be a baseline."""


def baselines(*names):
    """The installed plugins, with other searchers as baselines."""
    config, needs = REGISTRY.get("searcher", "random").config, frozenset({"space", "evaluator"})
    marked = frozenset({BaselineSearcher})
    added = [
        Plugin("searcher", name, f"{__name__}:Plain", config, needs=needs, provides=marked) for name in names
    ]
    kept = [plugin for plugin in REGISTRY if BaselineSearcher not in plugin.provides]
    return Registry([*kept, *added])


def test_the_installed_baseline_is_one_searcher():
    assert installed_baselines(REGISTRY) == ["random"]
    assert isinstance(REGISTRY.get("searcher", "random").load(), type)
    assert issubclass(REGISTRY.get("searcher", "random").load(), BaselineSearcher)


def test_a_searcher_of_a_third_party_can_be_the_baseline():
    found = check(recipe({"budget": 60}), baselines("coin")).bench
    assert [e.label for e in found.entrants] == ["coin", "evolution"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            (),
            "bench.baseline: no installed searcher is a baseline. "
            'Write baseline = "NAME" in [bench]. Known: ',
        ),
        (
            ("coin", "dice"),
            "bench.baseline: 'coin' and 'dice' are baselines. Write baseline = \"NAME\" in [bench]. "
            "Known: coin, dice.",
        ),
    ],
)
def test_without_one_installed_baseline_the_recipe_names_it(names, message):
    with pytest.raises(RecipeError) as caught:
        check(recipe({"budget": 60}), baselines(*names))
    (problem,) = caught.value.problems
    assert problem.startswith(message)
    assert "evolution" in problem or names
    named = check(recipe({"budget": 60, "baseline": "grid"}), baselines(*names)).bench
    assert [e.label for e in named.entrants] == ["grid", "evolution"]


def test_profiles_reach_into_it(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(
        'extends = "search_nasbench201_table"\n'
        "[bench]\nbudget = 50\nseeds = 9\n[profiles.quick.bench]\nseeds = 2\n"
    )
    assert len(load(path, REGISTRY, profile="quick").bench.seeds) == 2
    assert load(path, REGISTRY, profile="quick").bench.budget.amount == 50
