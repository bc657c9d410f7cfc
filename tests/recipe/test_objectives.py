"""Objectives that nobody tells are found by the recipe check, as far as evaluators say what they report."""

import subprocess
import sys

import pytest

from nasforge.config import EvaluatorConfig, ObjectivesConfig, PluginConfig
from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.recipe import check, load
from nasforge.recipe.objectives import reported
from nasforge.space import NetworkSpace
from support.recipe_samples import plugin

BUILT_INS = Registry.discover()


class Says(EvaluatorConfig):
    shift: bool = False

    def reports(self):
        return frozenset({"loss", "shifted" if self.shift else "straight"})


class Adds(EvaluatorConfig):
    def reports(self):
        return frozenset({"added"})


class Breaks(EvaluatorConfig):
    def reports(self):
        raise KeyError("oops")


class TwoGoals(ObjectivesConfig):
    evaluations: int = 50


class OwnGoals(PluginConfig):
    objectives: tuple[str, ...] = ("loss:min",)


REGISTRY = Registry(
    [
        plugin("space", "cells", provides={NetworkSpace}),
        plugin("searcher", "random", TwoGoals, needs={"evaluator"}),
        plugin("searcher", "front", TwoGoals, needs={"evaluator"}),
        plugin("searcher", "own", OwnGoals, needs={"evaluator"}),
        plugin("evaluator", "says", Says),
        plugin("evaluator", "silent"),
        plugin("evaluator", "adds", Adds, needs={"evaluator"}),
        plugin("evaluator", "breaks", Breaks),
    ]
)


def tables(objectives=("score",), evaluator=None, searcher="front", **more):
    return {
        "space": {"use": "cells"},
        "searcher": {"use": searcher, "objectives": list(objectives)},
        "evaluator": evaluator or {"use": "says"},
        **more,
    }


def problems(recipe, registry=REGISTRY, **how):
    """Return what the check finds, nothing if that is nothing."""
    try:
        check(recipe, registry, **how)
    except RecipeError as error:
        return list(error.problems)
    return []


def test_they_are_told_with_their_line_and_everything_else(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[space]\nuse = "cells"\n[searcher]\nuse = "front"\nobjectives = ["score", "-los", "params"]\n'
        '[evaluator]\nuse = "says"\n[run]\nsead = 3\n'
    )
    with pytest.raises(RecipeError) as caught:
        load(path, REGISTRY)
    assert caught.value.problems == (
        "line 5: searcher.objectives: '-los': evaluator 'says' reports no 'los'. Did you mean 'loss'?",
        "line 9: run.sead: no such option. Did you mean 'seed'?",
    )


def test_a_name_like_no_other_is_answered_with_all_there_are():
    (problem,) = problems(tables(["score", "size"]))
    assert problem == (
        "searcher.objectives: 'size': evaluator 'says' reports no 'size'. "
        "Known: latency_ms, loss, macs, memory, params, score, straight."
    )


def test_options_decide_what_is_reported():
    assert problems(tables(["shifted", "score"], {"use": "says", "shift": True})) == []
    assert "reports no 'shifted'" in problems(tables(["shifted", "score"]))[0]


def test_costs_are_told_by_spaces():
    assert problems(tables(["-params", "-macs", "-memory", "score", "-loss"])) == []


def test_latency_needs_a_source():
    (problem,) = problems(tables(["score", "-latency_ms"]))
    assert problem.startswith("searcher.objectives: '-latency_ms': evaluator 'says' reports no 'latency_ms'.")
    assert "Set constraints.latency to a table" in problem
    assert problems(tables(["score", "-latency_ms"], constraints={"latency": "measured"})) == []
    # One that says nothing may report them, and a source that cannot be read is one problem, not two.
    assert problems(tables(["score", "-latency_ms"], {"use": "silent"})) == []
    assert problems(tables(["score", "-latency_ms"], constraints={"latency": 3})) == [
        "constraints.latency: must be text in quotes, got 3."
    ]


@pytest.mark.parametrize(
    "evaluator", [{"use": "silent"}, {"use": "adds", "base": {"use": "silent"}}], ids=["alone", "base"]
)
def test_who_says_nothing_is_waited_for(evaluator):
    assert problems(tables(["anything", "-else"], evaluator)) == []


def test_one_that_builds_on_another_reports_what_both_do():
    both = {"use": "adds", "base": {"use": "says"}}
    assert problems(tables(["added", "loss"], both)) == []
    assert problems(tables(["addd"], both)) == [
        "searcher.objectives: 'addd': evaluator 'adds' reports no 'addd'. Did you mean 'added'?"
    ]
    assert reported(Adds(), Says()) == {"added", "loss", "straight"}
    assert reported(Adds(), PluginConfig()) is reported(PluginConfig()) is None


def test_other_mistakes_in_the_evaluator_leave_it_open():
    for evaluator in ({"use": "says", "shft": 1}, {"use": "adds"}, {"use": "syas"}, 3):
        (problem,) = problems(tables(["anything"], evaluator))
        assert "anything" not in problem


def test_a_method_of_somebody_else_that_fails_is_a_problem_not_a_crash():
    (problem,) = problems(tables(["anything"], {"use": "breaks"}))
    assert problem == "evaluator: asking what it reports failed: KeyError: 'oops'."


def test_a_searcher_may_mean_something_else_by_objectives():
    assert problems(tables(["loss:min"], searcher="own")) == []


def test_benches_are_told_by_searcher():
    bench = {
        "searchers": ["front", "wide = front", "deep = front"],
        "budget": 9,
        "options": {"wide": {"objectives": ["score", "-width"]}, "random": {"objectives": ["lss"]}},
    }
    found = problems(
        tables(["score", "depth"], bench=bench), overrides=["bench.options.deep.objectives=['x']"]
    )
    assert [problem.partition(" evaluator")[0] for problem in found] == [
        "searcher.objectives: 'depth':",  # once, though "front" has it too
        "bench.options.random.objectives: 'lss':",
        "bench.options.wide.objectives: '-width':",
        "--set bench.options.deep.objectives: 'x':",
    ]


IMAGES = {"data": {"use": "digits"}, "space": {"use": "nasbench201"}}


@pytest.mark.parametrize(
    ("evaluator", "good", "bad"),
    [
        ({"use": "train"}, ["score", "-train_loss", "select_accuracy"], "naswot"),
        ({"use": "supernet"}, ["score", "-arch_loss", "-params"], "train_loss"),
        ({"use": "tabular"}, ["valid_accuracy", "-latency_ms"], "epochs"),
        ({"use": "zero-cost", "proxies": ["naswot", "zen"]}, ["naswot", "zen"], "synflow"),
        ({"use": "predictor", "base": {"use": "tabular"}}, ["valid_accuracy", "evaluated"], "kendall"),
    ],
    ids=lambda value: value["use"] if isinstance(value, dict) else "",
)
def test_built_in_evaluators_say_what_they_report(evaluator, good, bad):
    for searcher in ("nsga2", "optuna"):
        if searcher == "optuna":
            pytest.importorskip("optuna")
        recipe = {**tables(good, evaluator, searcher), **IMAGES}
        assert problems(recipe, BUILT_INS) == []
        recipe["searcher"]["objectives"] = ["score", bad]
        (problem,) = problems(recipe, BUILT_INS)
        assert problem.startswith(f"searcher.objectives: {bad!r}: evaluator {evaluator['use']!r} reports no")


def test_nothing_heavy_is_imported_for_it():
    code = (
        "import sys\nfrom nasforge.errors import RecipeError\nfrom nasforge.plugins import Registry\n"
        "from nasforge.recipe import check\n"
        f"recipe = { ({**tables(['score', '-mac'], {'use': 'tabular'}, 'nsga2'), **IMAGES})!r}\n"
        "try:\n    check(recipe, Registry.discover())\nexcept RecipeError as error:\n    print(error)\n"
        "print(*{'torch', 'numpy', 'safetensors'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == [
        "  - searcher.objectives: '-mac': evaluator 'tabular' reports no 'mac'. Did you mean 'macs'?",
        "",
    ]
