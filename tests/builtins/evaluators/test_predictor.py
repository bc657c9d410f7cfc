from pathlib import Path
from random import Random
from typing import Any

import pytest

from nasforge.api import run as run_recipe
from nasforge.arch import Arch
from nasforge.errors import RecipeError, RunError
from nasforge.evaluator import Evaluation
from nasforge.files import read_json
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runtime import checkpoint
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.evaluators.predictor.config import PredictorConfig
from nasforge_plugins.evaluators.predictor.evaluator import Predictor
from nasforge_plugins.searchers.evolution.config import EvolutionConfig
from nasforge_plugins.searchers.evolution.searcher import Evolution
from support.toy_table import Table, ToySpace, run, searcher_context


def predictor(table: Table | None = None, **options: Any) -> Predictor:
    found = Predictor(PredictorConfig(**{"initial": 12, "members": 2, "folds": 3, **options}))
    found.setup(searcher_context(table or Table(), space=ToySpace(6)))
    return found


def archs(count: int, seed: int = 0) -> list[Arch]:
    """Return different architectures; the first are the same whatever the count."""
    rng, found = Random(seed), dict[Arch, None]()
    while len(found) < count:
        found[ToySpace(6).sample(rng)] = None
    return list(found)


def searched(evaluator: Predictor, evaluations: int = 60) -> Evolution:
    searcher = Evolution(EvolutionConfig(evaluations=evaluations, population=10, tournament=4))
    searcher.setup(searcher_context(evaluator, space=ToySpace(6)))
    return run(searcher)


def test_the_first_are_evaluated_and_most_others_are_estimates() -> None:
    table = Table()
    evaluator = predictor(table, share=0.1, every=10)
    results = [evaluator.evaluate(arch) for arch in archs(80)]
    assert not any(e.estimated for e in results[:12])
    assert [e.score for e in results[:12]] == [table.score(e.arch) for e in results[:12]]
    later = results[12:]
    assert 5 <= sum(not e.estimated for e in later) <= 25
    assert len(table.asked) == sum(not e.estimated for e in results)
    for e in later:
        assert e.score == (e.metrics["predicted"] if e.estimated else table.score(e.arch))
        assert -1 <= e.metrics["kendall"] <= e.metrics["spearman"] + 0.3 <= 1.3
    assert any(abs(e.score - table.score(e.arch)) > 0 for e in later if e.estimated)


def test_what_looks_best_is_evaluated() -> None:
    evaluator = predictor(share=0.2, every=0)
    results = [evaluator.evaluate(arch) for arch in archs(100)][12:]
    chosen = [e.metrics["predicted"] for e in results if not e.estimated]
    left = [e.metrics["predicted"] for e in results if e.estimated]
    assert len(chosen) < 40
    assert sum(chosen) / len(chosen) > sum(left) / len(left)


def test_without_a_share_each_one_in_so_many_is_evaluated() -> None:
    evaluator = predictor(share=0.0, every=4)
    results = [evaluator.evaluate(arch) for arch in archs(30)][12:]
    assert [e.estimated for e in results] == ([True] * 4 + [False]) * 3 + [True] * 3


def test_an_evaluated_architecture_is_not_evaluated_again() -> None:
    table = Table()
    evaluator = predictor(table)
    first = evaluator.evaluate(archs(1)[0])
    again = evaluator.evaluate(archs(1)[0])
    assert (again.score, again.cost, again.estimated) == (first.score, 0.0, False)
    assert len(table.asked) == 1


def test_the_answer_of_a_search_is_no_estimate() -> None:
    class Optimist(Predictor):
        """Estimates everything far above any score."""

        def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
            result = super().evaluate(arch, budget=budget)
            return Evaluation(arch, 1e6 + result.score, estimated=True) if result.estimated else result

    table = Table()
    evaluator = Optimist(PredictorConfig(initial=12, members=2, folds=3, share=0.0, every=10))
    evaluator.setup(searcher_context(table, space=ToySpace(6)))
    searcher = searched(evaluator)
    assert max(e.score for e in searcher.history) > 1e5
    assert searcher.best() in table.asked
    assert not any(e.estimated for e in searcher.comparable())
    assert table.score(searcher.best()) == max(e.score for e in searcher.history if not e.estimated)


def test_an_estimate_gives_way_to_an_evaluation() -> None:
    class Estimating(Table):
        def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
            result = super().evaluate(arch)
            return Evaluation(arch, 1.0, estimated=True) if len(self.asked) < 3 else result

    class Same(AskTellSearcher[EvolutionConfig]):
        evaluations = 4

        def ask(self) -> Arch:
            return archs(1)[0]

    table, searcher = Estimating(), Same(EvolutionConfig())
    searcher.setup(searcher_context(table, space=ToySpace(6)))
    for _ in range(2):
        searcher.step()
        assert searcher.known(archs(1)[0]) is not None
    run(searcher)
    assert [e.estimated for e in searcher.history] == [True, True, False, False]
    assert len(table.asked) == 3  # the fourth proposal knows the third's score


@pytest.mark.parametrize("kind", ["forest", "gp"])
def test_stopping_after_every_evaluation_changes_nothing(kind: str, tmp_path: Path) -> None:
    order = archs(17) + archs(3)
    straight = predictor(predictor=kind)
    expected = [straight.evaluate(arch) for arch in order]
    results, path = [], tmp_path / "evaluator.safetensors"
    for arch in order:
        evaluator = predictor(predictor=kind)
        if (state := checkpoint.load(path)) is not None:
            evaluator.load_state_dict(state)
        results.append(evaluator.evaluate(arch))
        checkpoint.save(path, evaluator.state_dict())
    costless = [(e.arch, e.score, e.estimated, dict(e.metrics)) for e in results]
    assert costless == [(e.arch, e.score, e.estimated, dict(e.metrics)) for e in expected]
    assert evaluator.summary() == straight.summary()


def test_the_summary_tells_how_well_it_ranks() -> None:
    evaluator = predictor()
    assert evaluator.summary() == {}
    results = [evaluator.evaluate(arch) for arch in archs(70)]
    found = evaluator.summary()
    assert found["evaluated"] == sum(not e.estimated for e in results)
    assert found["estimated"] == sum(e.estimated for e in results)
    assert 0.2 < found["kendall"] < found["spearman"] <= 1
    assert found["ahead"] == found["evaluated"] - 12


def test_budgets_have_models_of_their_own() -> None:
    table = Table()
    evaluator = predictor(table)
    for arch in archs(12):
        evaluator.evaluate(arch, budget=1)
    assert evaluator.evaluate(archs(13)[12], budget=1).metrics["predicted"]
    assert "predicted" not in evaluator.evaluate(archs(13)[12], budget=9).metrics
    state = evaluator.state_dict()
    again = predictor()
    again.load_state_dict(state)
    assert again.state_dict() == state


def test_failures_of_the_base_are_passed_on_and_not_fitted_to() -> None:
    class Failing(Table):
        def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
            return Evaluation(arch, float("-inf"), failed="it broke")

    evaluator = predictor(Failing())
    results = [evaluator.evaluate(arch) for arch in archs(20)]
    assert all(e.failed for e in results)
    assert evaluator.summary()["evaluated"] == 0


def test_a_space_without_paths_is_told() -> None:
    with pytest.raises(RunError, match="has no paths"):
        predictor(encoding="path")


def tables(**more: Any) -> dict[str, Any]:
    return {
        "space": {"use": "nasbench201"},
        "searcher": {"use": "evolution", "evaluations": 60, "population": 10},
        "evaluator": {"use": "predictor", "initial": 20, "base": {"use": "tabular"}},
        **more,
    }


def test_a_run_from_a_recipe(tmp_path: Path) -> None:
    result = run_recipe(tables(run={"name": "r"}), out=tmp_path)
    found = read_json(result.folder / "search" / "result.json")
    assert found["evaluator"]["evaluated"] + found["evaluator"]["estimated"] <= 60
    assert found["evaluator"]["estimated"] > 10
    assert -1 <= found["evaluator"]["kendall"] <= 1
    resolved = read_json(result.folder / "resolved.json")
    assert resolved["evaluator"]["base"]["use"] == "tabular"
    assert check(resolved, Registry.discover()).parts["evaluator.base"].plugin.name == "tabular"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"evaluator": {"use": "predictor"}}, r"needs a \[evaluator.base\] table\. Known: .*tabular"),
        (
            {"evaluator": {"use": "predictor", "base": {"use": "predictor"}}},
            r"evaluator\.base\.use: 'predictor' builds on another evaluator, which works in \[evaluator\]",
        ),
        (
            {"evaluator": {"use": "tabular", "base": {"use": "tabular"}}},
            r"evaluator\.base: 'tabular' builds on no other evaluator\. Remove this table",
        ),
        ({"train": {"use": "predictor"}}, r"train\.use: 'predictor' builds on another evaluator"),
        (
            {"evaluator": {"use": "predictor", "base": {"use": "train"}}},
            r"evaluator\.base\.use: 'train' needs a \[data\] table",
        ),
        (
            {"evaluator": {"use": "predictor", "base": {"use": "tabular", "dataset": "cifar"}}},
            r"evaluator\.base\.dataset: .cifar. is not in the table. Did you mean",
        ),
    ],
)
def test_wrong_tables_are_told_at_check(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check(tables(**wrong), Registry.discover())
