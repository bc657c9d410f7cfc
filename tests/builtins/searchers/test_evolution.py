from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nasforge.arch import Arch
from nasforge_plugins.searchers.evolution.config import EvolutionConfig
from nasforge_plugins.searchers.evolution.searcher import Evolution
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context

OPTIONS: dict[str, Any] = {"evaluations": 120, "population": 12, "tournament": 4}


def evolution(table: Table | None = None, seed: int = 0, **options: Any) -> Evolution:
    searcher = Evolution(EvolutionConfig(**{**OPTIONS, **options}))
    searcher.setup(searcher_context(table or Table(), seed))
    return searcher


@pytest.mark.parametrize("seed", range(5))
def test_it_beats_its_first_population(seed: int) -> None:
    searcher = run(evolution(seed=seed))
    first = max(e.score for e in searcher.history[:12])
    last = [e.score for e in searcher.population]
    assert max(e.score for e in searcher.history) > first
    assert sum(last) / len(last) > sum(e.score for e in searcher.history[:12]) / 12
    assert Table().score(searcher.best()) == max(e.score for e in searcher.history)


def test_every_child_is_one_mutation_from_a_living_parent() -> None:
    searcher = evolution()
    while not searcher.done:
        living = [e.arch for e in searcher.population]
        searcher.step()
        child = searcher.history[-1].arch
        if len(searcher.history) > 12:
            changed = [sum(child[n] != parent[n] for n in child) for parent in living]
            assert min(changed) == 1 or child in living
            assert len(searcher.population) == 12


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    searcher = evolution()
    while len(searcher.history) < 12:
        searcher.step()
    oldest = searcher.history[0]
    searcher.step()
    assert searcher.population[0] is searcher.history[1]
    assert all(e is not oldest for e in searcher.population)


def test_the_parent_is_the_best_of_the_tournament() -> None:
    parents: list[Arch] = []

    class Spy(ToySpace):
        def mutate(self, arch: Arch, rng: Any) -> Arch:
            parents.append(arch)
            return super().mutate(arch, rng)

    searcher = Evolution(EvolutionConfig(evaluations=60, population=10, tournament=200))
    searcher.setup(searcher_context(Table(), space=Spy()))
    while not searcher.done:
        best = max(searcher.population, key=lambda e: e.score, default=None)
        searcher.step()
        if len(searcher.history) > 10:
            assert best is not None
            assert Table().score(parents[-1]) == best.score


def test_an_architecture_is_evaluated_once() -> None:
    table = Table()
    searcher = run(evolution(table, evaluations=400))
    assert len(searcher.history) == 400
    assert len(table.asked) == len(set(table.asked)) < 400
    seen = set()
    for evaluation in searcher.history:
        assert evaluation.score == table.score(evaluation.arch)
        assert evaluation.cost == (0.0 if evaluation.arch in seen else 1.0)
        seen.add(evaluation.arch)


def test_the_seed_decides_the_search() -> None:
    first, again, other = (run(evolution(seed=s)).history for s in (4, 4, 5))
    assert first == again
    assert [e.arch for e in first] != [e.arch for e in other]


def test_stopping_after_every_step_changes_nothing(tmp_path: Path) -> None:
    tables = Table(), Table()
    whole = run(evolution(tables[0], evaluations=40))
    parts = resumed_after_every_step(lambda: evolution(tables[1], evaluations=40), tmp_path)
    assert parts.history == whole.history
    assert parts.state_dict() == whole.state_dict()
    assert parts.best() == whole.best()
    assert tables[0].asked == tables[1].asked, "a restart evaluated an architecture again"


@pytest.mark.parametrize(
    "options", [{"population": 1}, {"tournament": 0}, {"evaluations": 5, "population": 6}]
)
def test_options_that_cannot_be(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        EvolutionConfig(**options)
