from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from nasforge.arch import Arch
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation
from nasforge.pareto import dominates
from nasforge_plugins.searchers.nsga2.config import Nsga2Config
from nasforge_plugins.searchers.nsga2.searcher import Nsga2
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context


class Sized(Table):
    """Two numbers that pull in different directions."""

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        self.asked.append(arch)
        size = sum("abcdefgh".index(arch[name][0]) for name in arch)
        return Evaluation(arch, self.score(arch), 1.0, {"macs": float(size)})


def nsga2(seed: int = 0, **options: Any) -> Nsga2:
    given = {"evaluations": 120, "population": 12, "objectives": ("score", "-macs"), **options}
    searcher = Nsga2(Nsga2Config(**given))
    searcher.setup(searcher_context(Sized(), seed))
    return searcher


def pairs(evaluations: Any) -> list[tuple[float, float]]:
    return [(e.score, -e.metrics["macs"]) for e in evaluations]


def volume(points: list[tuple[float, float]]) -> float:
    """The area that a set dominates, above score 0 and macs 40."""
    total, top = 0.0, 0.0
    for score, minus in sorted(points, key=lambda p: -p[1]):
        if score > top:
            total += (score - top) * (minus + 40)
            top = score
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_mutually_non_dominated_and_nothing_seen_dominates_it(seed: int) -> None:
    searcher = nsga2(seed)
    while not searcher.done:
        searcher.step()
        known = {e.arch: pairs([e])[0] for e in searcher.history}
        front = [known[arch] for arch in searcher.front()]
        assert not any(dominates(a, b) for a in front for b in front)
        assert all(any(a == p or dominates(a, p) for a in front) for p in known.values())
        assert front == sorted(front, reverse=True)
    assert len(front) > 3


def test_later_generations_dominate_more_than_random_draws() -> None:
    areas = []
    for crossover in (0.9, 0.0):
        searcher = run(nsga2(1, crossover=crossover))
        areas.append(volume(pairs(searcher.history)))
        draws = [Sized().evaluate(ToySpace().sample(Random(seed))) for seed in range(120)]
        assert areas[-1] > volume(pairs(draws))


def test_the_population_is_the_best_of_parents_and_children() -> None:
    searcher = nsga2()
    before: list[Evaluation] = []
    while not searcher.done:
        searcher.step()
        if len(searcher.history) % 12 == 0:
            pool = {e.arch: e for e in (*before, *searcher.history[-12:])}
            left = [e for arch, e in pool.items() if arch not in {p.arch for p in searcher.population}]
            for kept in pairs(searcher.population):
                assert not any(dominates(other, kept) for other in pairs(left))
            before = list(searcher.population)
            assert len(before) <= 12


def test_best_has_the_highest_score() -> None:
    searcher = run(nsga2())
    assert Sized().score(searcher.best()) == max(e.score for e in searcher.history)


def test_children_are_valid_where_answers_depend_on_each_other() -> None:
    space = DartsSpace(DartsConfig())

    class Counting(Table):
        def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
            space.validate(arch)
            convs = sum(picked[0].startswith(("sep", "dil")) for picked in arch.values())
            return Evaluation(arch, float(convs), 1.0, {"macs": int(arch.key, 16) % 97})

    searcher = Nsga2(Nsga2Config(evaluations=60, population=10, objectives=("score", "-macs")))
    searcher.setup(searcher_context(Counting(), space=space))
    run(searcher)
    mother, father = searcher.history[0].arch, searcher.history[1].arch
    child = searcher._mixed(mother, father)
    space.validate(child)
    assert child not in (mother, father)
    assert all(child[name] in (mother[name], father[name]) for name in child)


def test_an_unknown_objective_is_named_at_the_first_evaluation() -> None:
    searcher = nsga2(objectives=("score", "-mac"))
    with pytest.raises(
        RunError, match=r"objectives: '-mac': the evaluator reports no 'mac'\. Did you mean 'macs'"
    ):
        searcher.step()


def test_stopping_after_every_step_changes_nothing(tmp_path: Path) -> None:
    whole = run(nsga2(evaluations=60))
    parts = resumed_after_every_step(lambda: nsga2(evaluations=60), tmp_path)
    assert parts.history == whole.history
    assert parts.front() == whole.front()


@pytest.mark.parametrize(
    "options",
    [
        {"objectives": ("score",)},
        {"objectives": ("score", "-score")},
        {"objectives": ("score", "--x")},
        {"population": 50, "evaluations": 10},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Nsga2Config(**options)
