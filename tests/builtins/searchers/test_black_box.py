"""Searchers that only see scores, on the table of NAS-Bench-201 that ships."""

from itertools import islice
from statistics import mean

import pytest

import nasforge
from nasforge.errors import RecipeError
from nasforge.plugins import Registry


def search(tmp_path, searcher: str, seed: int = 0, evaluations: int = 60, **options):
    recipe = {
        "run": {"name": f"{searcher}-{seed}", "threads": 1},
        "space": {"use": "nasbench201"},
        "searcher": {"use": searcher, "evaluations": evaluations, **options},
        "evaluator": {"use": "tabular"},
    }
    return nasforge.run(recipe, out=tmp_path, seed=seed).results


def found(results) -> float:
    return results["derive"]["looked_up"]["cifar10_valid_accuracy"]


@pytest.fixture(scope="module")
def chance(tmp_path_factory):
    """Mean accuracy that random search finds."""
    folder = tmp_path_factory.mktemp("random")
    return mean(found(search(folder, "random", seed, 80)) for seed in range(4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("searcher", "options"), [("local-search", {}), ("bananas", {"predictor": "gp"}), ("evolution", {})]
)
def test_guided_searches_beat_random_search_on_average(tmp_path, chance, searcher, options):
    assert mean(found(search(tmp_path, searcher, seed, 80, **options)) for seed in range(4)) > chance


def test_a_pareto_set_is_mutually_non_dominated(tmp_path):
    results = search(tmp_path, "nsga2", evaluations=120, objectives=["score", "-macs"])
    space = Registry.discover().get("space", "nasbench201")
    space = space.load()(space.config())
    front = [space.parse(space.notation(nasforge.Arch(arch))) for arch in results["search"]["front"]]
    task = space.reference_task
    points = [
        (space.lookup(arch)["cifar10_valid_accuracy"], -space.cost(arch, task)["macs"]) for arch in front
    ]
    assert len(points) > 3
    for one in points:
        assert not any(
            other != one and all(o >= v for o, v in zip(other, one, strict=True)) for other in points
        )


def test_an_unknown_objective_is_named_before_anything_runs(tmp_path):
    with pytest.raises(RecipeError, match=r"'-mac': .* reports no 'mac'\. Did you mean 'macs'"):
        search(tmp_path, "nsga2", objectives=["score", "-mac"])
    assert not list(tmp_path.iterdir())


def test_grid_goes_through_the_space_in_order(tmp_path):
    results = search(tmp_path, "grid", evaluations=25)
    space = Registry.discover().get("space", "nasbench201")
    space = space.load()(space.config())
    best = max(islice(space.enumerate(), 25), key=lambda arch: space.lookup(arch)["cifar10_valid_accuracy"])
    assert nasforge.Arch(results["search"]["architecture"]) == best
