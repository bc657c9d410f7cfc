"""A searcher whose answer is raced against its neighbours: steps, resume, limits, failures."""

import math
from dataclasses import replace
from random import Random

import pytest

from nasforge.config import ConfirmConfig
from nasforge.confirm import ConfirmedSearcher
from nasforge.constraints import Constraints, ConstraintsConfig
from nasforge.errors import RecipeError, RunError
from nasforge.evaluator import Evaluation
from nasforge.plugins import Registry
from nasforge.seeding import derive_seed
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context

SPACE = ToySpace(digits=4, base=3)
OPTIONS = ConfirmConfig(rungs=(1, 3, 9), finalists=3, repeats=3)


class Noisy(Table):
    """Adds noise that falls with the budget; knows repetitions, and fails where it is told to."""

    def __init__(self, noise=0.0, fails=lambda arch: False):
        super().__init__()
        self.noise, self.fails = noise, fails
        self.expected = []

    def expect(self, arch, *, budget=None, repeat=0):
        self.expected.append((arch, budget, repeat))

    def evaluate(self, arch, *, budget=None):
        return self.repeat(arch, 0, budget=budget)

    def repeat(self, arch, index, *, budget=None):
        self.asked.append((arch, budget, index))
        if self.fails(arch):
            return Evaluation(arch, -math.inf, 1.0, failed="it is odd")
        random = Random(derive_seed(0, arch.key, budget, index))
        return Evaluation(arch, self.score(arch) + random.gauss(0, self.noise) / budget, 1.0)


def make(options=OPTIONS, table=None, searcher="random", seed=0, limits=None, **more):
    table = table or Noisy()
    plugin = Registry.discover().get("searcher", searcher)
    inner = plugin.load()(plugin.config(**({"evaluations": 3} if searcher == "random" else {}), **more))
    context = searcher_context(table if searcher == "random" else None, seed, SPACE)
    inner.setup(replace(context, constraints=limits or Constraints()))
    # The searcher's own evaluations have no budget.
    table.evaluate, check = lambda arch, *, budget=None: table.repeat(arch, 0, budget=budget or 9), table
    return ConfirmedSearcher(inner, options, check)


LOWEST = min(SPACE.enumerate(), key=Table().score)


def climbing(options=OPTIONS, **more):
    return make(options, searcher="fixed", arch=SPACE.notation(LOWEST), **more)


def test_the_answer_climbs_to_its_best_neighbour():
    searcher = run(climbing())
    start = LOWEST
    candidates = [start, *SPACE.neighbours(start)]
    best = max(candidates, key=Table().score)
    assert searcher.best() == best != start
    assert len(searcher.races) == 1


def test_passes_go_on_until_the_incumbent_stays():
    searcher = run(climbing(ConfirmConfig(rungs=(1, 3, 9), finalists=3, passes=20)))
    assert 2 < len(searcher.races) < 20
    top = searcher.best()
    assert searcher.races[-1].incumbent == top
    assert all(Table().score(top) >= Table().score(near) for near in SPACE.neighbours(top))
    asked = searcher.evaluator.asked
    assert len(set(asked)) == len(asked), "what is known is not evaluated again"


def test_earlier_answers_of_the_search_take_part():
    searcher = run(make(seed=3))
    assert len(searcher.derivations) > 1
    first = {heat.arch for heat in searcher.races[0].scores}
    assert {*searcher.derivations} <= first
    few = run(make(ConfirmConfig(rungs=(1,), derivations=0, neighbours=2, finalists=3), seed=3))
    assert len({heat.arch for heat in few.races[0].scores}) == 3


def test_steps_are_known_and_counted():
    searcher = make()
    total, steps = searcher.total_steps, 0
    while not searcher.done:
        metrics = searcher.step()
        steps += 1
        assert all(math.isfinite(value) for value in metrics.values())
        SPACE.validate(searcher.best())
    assert steps == total == 3 + 3
    assert {"confirm_difference", "confirm_threshold", "confirm_incumbent_score"} <= metrics.keys()


def test_resuming_after_every_step_changes_nothing(tmp_path):
    options = ConfirmConfig(rungs=(1, 3, 9), finalists=3, passes=4, neighbours=5)
    straight = run(make(options, Noisy(2.0)))
    resumed = resumed_after_every_step(lambda: make(options, Noisy(2.0)), tmp_path)
    assert resumed.state_dict() == straight.state_dict()
    assert resumed.summary() == straight.summary()


def test_everything_is_announced_to_workers():
    searcher = run(make())
    confirmed = searcher.evaluator.asked[3:]
    assert searcher.evaluator.expected[-len(confirmed) :] == confirmed


def test_the_summary_says_who_beat_whom():
    searcher = run(climbing())
    (race,) = searcher.summary()["confirm"]["races"]
    assert race["winner"] == SPACE.notation(searcher.best())
    assert race["difference"] > race["threshold"]
    assert [len(row["scores"]) for row in race["finalists"]] == [3, 3, 3]
    assert "replaced: " in race["text"]
    kept = run(make(ConfirmConfig(rungs=(1, 9), finalists=3, repeats=2), Noisy(200.0)))
    assert "kept: " in kept.summary()["confirm"]["text"]


def limits(most):
    return Constraints(ConstraintsConfig(max_params=most), lambda arch: {"params": Table().score(arch)})


def test_candidates_keep_the_limits():
    scores = sorted(Table().score(arch) for arch in SPACE.neighbours(LOWEST))
    searcher = run(climbing(limits=limits(scores[3])))
    assert Table().score(searcher.best()) == scores[3]


def test_an_answer_over_a_limit_is_replaced():
    start = max(SPACE.enumerate(), key=Table().score)
    near = sorted(SPACE.neighbours(start), key=Table().score)
    options = ConfirmConfig(rungs=(1, 9))
    bound = limits(Table().score(near[0]))
    searcher = run(make(options, searcher="fixed", arch=SPACE.notation(start), limits=bound))
    assert Table().score(searcher.best()) == Table().score(near[0])
    assert "over a limit" in searcher.summary()["confirm"]["text"]
    with pytest.raises(RunError, match="none of them keeps the limits"):
        run(make(options, searcher="fixed", arch=SPACE.notation(start), limits=limits(1)))


def test_failures_of_challengers_are_survived():
    searcher = run(make())
    start = searcher.races[0].incumbent
    only = run(make(table=Noisy(fails=lambda arch: arch not in (start, *searcher.derivations))))
    assert only.best() in (start, *searcher.derivations)
    with pytest.raises(RunError, match=r"no candidate could be evaluated. The last one: it is odd"):
        run(make(table=Noisy(fails=lambda arch: True), searcher="fixed"))


def test_more_neighbours_than_there_are_is_an_error():
    with pytest.raises(RecipeError, match=r"neighbours: 9, but an architecture of this space has 8\."):
        make(ConfirmConfig(rungs=(1,), neighbours=9))


def test_a_budget_that_the_evaluator_refuses_is_an_error_before_the_search():
    class Strict(Noisy):
        def check_budget(self, budget):
            raise RecipeError("recipe", [f"evaluator.epochs: no {budget}"])

    with pytest.raises(RecipeError, match="no 1"):
        make(table=Strict())


def size(arch):
    return float(sum("abc".index(arch[name][0]) for name in arch))


def sized(limit=None):
    config = ConstraintsConfig(max_macs=limit) if limit else ConstraintsConfig()
    return Constraints(config, measure=lambda arch: {"macs": size(arch)})


GROWING = ConfirmConfig(rungs=(1, 3, 9), finalists=3, growth=3)


class Flat(Noisy):
    """All score alike, up to noise, but for those with a digit that costs them five points."""

    def score(self, arch):
        return -5.0 if arch["c3"] == ("c",) else 0.0


def test_growth_takes_larger_neighbours_that_are_no_worse():
    searcher = run(climbing(GROWING, table=Flat(1.0), limits=sized()))
    incumbents = [race.incumbent for race in searcher.races if race.growing] + [searcher.best()]
    assert len(incumbents) == 4
    sizes = [size(arch) for arch in incumbents]
    assert sizes == sorted(set(sizes))
    assert searcher.best()["c3"] != ("c",), "five points are beyond the noise"
    assert "grown: the best larger challenger" in searcher.summary()["confirm"]["text"]


def test_growth_ends_at_a_limit_and_where_larger_ones_are_worse():
    limited = run(climbing(GROWING, table=Flat(1.0), limits=sized(limit=size(LOWEST) + 1)))
    assert size(limited.best()) <= size(LOWEST) + 1
    worse = Noisy(0.01)
    worse.score = lambda arch: -size(arch)
    kept = run(climbing(GROWING, table=worse, limits=sized()))
    assert [race.growing for race in kept.races] == [False, False, False, True][-len(kept.races) :]
    assert kept.races[-1].winner == kept.races[-1].incumbent == kept.best()


def test_resuming_a_growth_changes_nothing(tmp_path):
    def make_growing():
        return climbing(GROWING, table=Flat(1.0), limits=sized())

    straight = run(make_growing())
    resumed = resumed_after_every_step(make_growing, tmp_path)
    assert resumed.state_dict() == straight.state_dict()
    assert resumed.summary() == straight.summary()


def test_growth_needs_a_space_that_tells_costs():
    with pytest.raises(RecipeError, match=r"searcher\.confirm\.growth: .* tells no multiply-adds"):
        climbing(GROWING)


def make_fixed(**more):
    """Return a searcher whose answer has size 2, and is one option away from the smallest architecture."""
    start = next(arch for arch in SPACE.enumerate() if size(arch) == 2 and ("c",) in arch.values())
    return make(searcher="fixed", arch=SPACE.notation(start), **more)


@pytest.mark.parametrize(("share", "smallest"), [(0.0, 0), (0.5, 1), (1.0, 2)])
def test_challengers_that_hardly_compute_are_left_out(share, smallest):
    options = OPTIONS.model_copy(update={"least_macs": share})
    (race,) = run(make_fixed(options=options, limits=sized())).races
    assert min(size(heat.arch) for heat in race.scores) == smallest


def test_an_answer_over_a_limit_may_be_replaced_by_any_smaller_one():
    searcher = run(make_fixed(limits=sized(limit=0.5)))
    assert size(searcher.best()) == 0, "less than half of the answer's size"
