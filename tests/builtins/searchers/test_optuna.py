from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest

pytest.importorskip("optuna")
pytest.importorskip("cmaes")

from nasforge.arch import Arch
from nasforge.constraints import Constraints, ConstraintsConfig
from nasforge.errors import CheckpointError, RecipeError, RunError
from nasforge.evaluator import Evaluation
from nasforge.pareto import Objectives, dominates
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge_plugins.searchers.optuna import config as module
from nasforge_plugins.searchers.optuna.coding import Coding
from nasforge_plugins.searchers.optuna.config import OptunaConfig, SamplerName
from nasforge_plugins.searchers.optuna.searcher import OptunaSearcher
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context

SAMPLERS = get_args(SamplerName)


class TwoGoals(Table):
    """The second goal wants what the first avoids."""

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        result = super().evaluate(arch, budget=budget)
        size = float(sum("abcdefgh".index(arch[name][0]) ** 2 for name in arch))
        return Evaluation(arch, result.score, 1.0, {"size": size})


def optuna(table: Table | None = None, seed: int = 0, digits: int = 4, **options: Any) -> OptunaSearcher:
    searcher = OptunaSearcher(OptunaConfig(**{"evaluations": 30, "initial": 8, **options}))
    searcher.setup(searcher_context(table or Table(), seed, ToySpace(digits)))
    return searcher


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_stopping_after_every_step_changes_nothing(sampler: str, tmp_path: Path) -> None:
    options = {"sampler": sampler, "evaluations": 9, "initial": 4, "population": 4}
    whole = run(optuna(**options))
    parts = resumed_after_every_step(lambda: optuna(**options), tmp_path)
    assert parts.history == whole.history
    assert parts.state_dict() == whole.state_dict()
    other = run(optuna(seed=1, **options))
    assert other.history != whole.history


@pytest.mark.parametrize("sampler", ["tpe", "cma-es", "nsga2"])
def test_what_it_proposes_last_is_better_than_what_it_drew(sampler: str) -> None:
    count = 120 if sampler == "nsga2" else 60
    searcher = run(optuna(sampler=sampler, evaluations=count, population=10, digits=6))
    scores = [e.score for e in searcher.history]
    assert sum(scores[-10:]) > sum(scores[:10])


def test_one_that_was_proposed_before_is_not_evaluated_again() -> None:
    table = Table()
    searcher = run(optuna(table, digits=2, evaluations=40))
    assert len(searcher.history) == 40
    assert len(table.asked) == len(set(table.asked)) <= 16


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_limits_are_kept_and_resuming_stays_exact(sampler: str, tmp_path: Path) -> None:
    def limited() -> OptunaSearcher:
        searcher = OptunaSearcher(OptunaConfig(sampler=sampler, evaluations=7, initial=3, population=4))
        context = searcher_context(Table(), space=ToySpace(4))
        limits = Constraints(ConstraintsConfig(max_params=6), lambda arch: {"params": digits(arch)})
        searcher.setup(context.__class__(**{**vars(context), "constraints": limits}))
        return searcher

    whole = run(limited())
    assert all(digits(e.arch) <= 6 for e in whole.history)
    assert len(whole.state_dict()["trials"]) > 7  # some were rejected
    assert resumed_after_every_step(limited, tmp_path).state_dict() == whole.state_dict()


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_samplers_that_insist_on_what_is_over_a_limit_are_helped(sampler: str, tmp_path: Path) -> None:
    """Five architectures of 256 keep this limit, so hardly any proposal does."""

    def limited() -> OptunaSearcher:
        searcher = OptunaSearcher(OptunaConfig(sampler=sampler, evaluations=3, initial=2))
        context = searcher_context(Table(), space=ToySpace(4))
        limits = Constraints(ConstraintsConfig(max_params=1), lambda arch: {"params": digits(arch)})
        searcher.setup(replace(context, constraints=limits))
        return searcher

    whole = run(limited())
    assert all(digits(e.arch) <= 1 for e in whole.history)
    # Ten of the sampler's own at most before each evaluation.
    assert len(whole.state_dict()["trials"]) <= 3 * 11
    assert resumed_after_every_step(limited, tmp_path).state_dict() == whole.state_dict()


def digits(arch: Arch) -> int:
    return sum("abcdefgh".index(arch[name][0]) for name in arch)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_several_objectives_give_a_pareto_set(sampler: str, tmp_path: Path) -> None:
    options = {"sampler": sampler, "evaluations": 14, "objectives": ["score", "-size"], "population": 5}
    searcher = run(optuna(TwoGoals(), **options))
    objectives = Objectives(("score", "-size"))
    front = [objectives.extract(e) for e in searcher.history if e.arch in searcher.front()]
    everything = [objectives.extract(e) for e in searcher.history]
    assert len(searcher.front()) > 1
    assert not any(dominates(a, b) for a in everything for b in front)
    again = resumed_after_every_step(lambda: optuna(TwoGoals(), **options), tmp_path)
    assert again.state_dict() == searcher.state_dict()


def test_an_objective_that_nobody_reports_is_told() -> None:
    searcher = optuna(objectives=["score", "-budgt"])
    with pytest.raises(RunError, match=r"reports no 'budgt'\. Did you mean 'budget'"):
        searcher.step()


def test_costs_that_the_evaluator_does_not_report_come_from_the_space() -> None:
    searcher = OptunaSearcher(OptunaConfig(evaluations=2, initial=2, objectives=("score", "-params")))
    constraints = Constraints(measure=lambda arch: {"params": float(digits(arch))})
    searcher.setup(replace(searcher_context(Table()), constraints=constraints))
    run(searcher)
    assert [e.metrics["params"] for e in searcher.history] == [digits(e.arch) for e in searcher.history]


def test_failed_evaluations_are_told_as_failed(tmp_path: Path) -> None:
    class Fragile(Table):
        def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
            if digits(arch) % 3 == 0:
                return Evaluation(arch, float("-inf"), failed="it broke")
            return super().evaluate(arch, budget=budget)

    whole = run(optuna(Fragile(), evaluations=14))
    assert any(e.failed for e in whole.history)
    parts = resumed_after_every_step(lambda: optuna(Fragile(), evaluations=14), tmp_path)
    assert parts.history == whole.history


def test_another_version_of_optuna_is_noticed(tmp_path: Path) -> None:
    searcher = optuna(sampler="nsga2", evaluations=4)
    for _ in range(3):
        searcher.step()
    state = searcher.state_dict()
    params = state["trials"][1][0]
    params["c0"] = "a" if params["c0"] != "a" else "b"
    with pytest.raises(CheckpointError, match="with the version of Optuna that the search began with"):
        optuna(sampler="nsga2", evaluations=4).load_state_dict(state)


@pytest.mark.parametrize("real", [False, True])
def test_answers_become_architectures(real: bool) -> None:
    space, rng = DartsSpace(DartsConfig()), Random(0)
    coding = Coding(space, real)
    for _ in range(30):
        values = {
            name: rng.random() if real else rng.choice(parameter.choices)  # type: ignore[attr-defined]
            for name, parameter in coding.parameters.items()
        }
        arch = coding.arch(values)
        assert arch is not None
        space.validate(arch)
        assert space.canonical(arch) == arch
        assert coding.arch(coding.values(arch)) == arch


def test_the_heaviest_options_count() -> None:
    space = ToySpace(2, 3)
    weights = {"c0=a": 0.1, "c0=b": 0.9, "c0=c": 0.3, "c1=a": 0.5, "c1=b": 0.5, "c1=c": 0.2}
    assert Coding(space, real=True).arch(weights) == Arch({"c0": "b", "c1": "a"})
    assert Coding(space, real=False).arch({"c0": "b", "c1": "a"}) == Arch({"c0": "b", "c1": "a"})


def recipe(**options: Any) -> dict[str, Any]:
    return {
        "space": {"use": "nasbench201"},
        "searcher": {"use": "optuna", **options},
        "evaluator": {"use": "tabular"},
    }


def test_wrong_options_are_told_at_check() -> None:
    registry = Registry.discover()
    check(recipe(sampler="nsga2", objectives=["score", "-macs"]), registry)
    with pytest.raises(RecipeError, match="sampler 'cma-es' takes one objective"):
        check(recipe(sampler="cma-es", objectives=["score", "-macs"]), registry)
    with pytest.raises(RecipeError, match="name the same number twice"):
        check(recipe(objectives=["score", "-score"]), registry)
    with pytest.raises(RecipeError, match=r"'-mac': .* reports no 'mac'\. Did you mean 'macs'"):
        check(recipe(objectives=["score", "-mac"]), registry)


@pytest.mark.parametrize(("missing", "sampler"), [("optuna", "tpe"), ("cmaes", "cma-es")])
def test_without_the_extra_check_says_what_to_install(
    missing: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == missing else name)
    registry = Registry.discover()
    assert registry.get("searcher", "optuna").summary
    with pytest.raises(
        RecipeError, match=rf"needs the package {missing}. Run: pip install 'nasforge\[optuna\]'"
    ):
        check(recipe(sampler=sampler), registry)
