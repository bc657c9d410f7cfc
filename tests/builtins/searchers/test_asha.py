"""ASHA against an independent writing of Algorithm 2 of Li et al. (MLSys 2020)."""

import heapq
import math
from random import Random

import pytest
from pydantic import ValidationError

from nasforge.evaluator import Evaluation
from nasforge_plugins.searchers.asha.config import AshaConfig
from nasforge_plugins.searchers.asha.searcher import Asha
from support.toy_table import Table, resumed_after_every_step, run, searcher_context


class Noisy(Table):
    """A loss that depends on the budget, without ties; some architectures fail."""

    workers = 3

    def __init__(self, failing=0.0):
        super().__init__()
        self.failing = failing

    def evaluate(self, arch, *, budget=None):
        draw = Random(f"{arch.key} {budget}").random()
        if draw < self.failing:
            return Evaluation(arch, -math.inf, 1.0, failed="it broke")
        return Evaluation(arch, self.score(arch) + 9 * draw, 1.0)


def asha(table=None, seed=0, **options):
    given = {"evaluations": 400, "budgets": (1, 3, 9, 27), "eta": 3.0, "batch": 4, **options}
    searcher = Asha(AshaConfig(**given))
    searcher.setup(searcher_context(table or Noisy(), seed))
    return searcher


def algorithm_2(jobs, workers, r, R, eta, s, loss, draw):
    """Return the jobs ``(configuration, resource)`` in the order in which they are started.

    The simulated workers take as much time for a job as its resource is.
    """
    top = math.floor(math.log(R / r, eta) + 1e-9) - s
    rungs = [{} for _ in range(top + 1)]
    promoted = [set() for _ in range(top + 1)]

    def get_job():
        for k in range(top - 1, -1, -1):
            ranked = sorted(rungs[k], key=rungs[k].get)
            candidates = ranked[: int(len(rungs[k]) / eta)]
            promotable = [t for t in candidates if t not in promoted[k]]
            if promotable:
                promoted[k].add(promotable[0])
                return promotable[0], k + 1
        return draw(), 0

    started, under_way, now = [], [], 0
    while len(started) < jobs or under_way:
        while len(under_way) < workers and len(started) < jobs:
            theta, k = get_job()
            resource = r * eta ** (s + k)
            heapq.heappush(under_way, (now + resource, len(started), theta, k))
            started.append((theta, resource))
        now, _, theta, k = heapq.heappop(under_way)
        rungs[k][theta] = loss(theta, r * eta ** (s + k))
    return started


@pytest.mark.parametrize(("workers", "s"), [(1, 0), (4, 0), (25, 0), (4, 1)])
def test_jobs_are_those_of_the_published_algorithm(workers, s, monkeypatch):
    table = Noisy()
    budgets = tuple(3**k for k in range(s, 4))
    searcher = asha(table, batch=workers, budgets=budgets)
    drawn = []
    sample = searcher.sample

    def note():
        drawn.append(sample())
        return drawn[-1]

    asked = []
    propose = searcher.ask

    def ask():
        arch = propose()
        asked.append((arch, searcher.budget()))
        return arch

    monkeypatch.setattr(searcher, "sample", note)
    monkeypatch.setattr(searcher, "ask", ask)
    run(searcher)
    assert len(set(drawn)) == len(drawn), "the algorithm knows configurations by their names"
    configurations = iter(drawn)
    expected = algorithm_2(
        400,
        workers,
        1,
        27,
        3,
        s,
        lambda arch, resource: -table.evaluate(arch, budget=resource).score,
        lambda: next(configurations),
    )
    assert asked == expected
    assert max(budget for _, budget in asked) == 27, "something reaches the last rung"


def test_failed_evaluations_fill_their_rung_and_are_not_promoted():
    searcher = run(asha(Noisy(failing=0.4)))
    failed = {(e.arch, e.budget) for e in searcher.history if e.failed}
    assert len(failed) > 30
    later = {(e.arch, e.budget) for e in searcher.history if e.budget > 1}
    assert later
    assert not {(arch, budget * 3) for arch, budget in failed} & later
    assert searcher.best() in {e.arch for e in searcher.history if not e.failed}


@pytest.mark.parametrize("batch", [1, 5, "workers"])
def test_resume_goes_on_with_the_same_order(batch, tmp_path):
    straight = run(asha(batch=batch, evaluations=60))
    resumed = resumed_after_every_step(lambda: asha(batch=batch, evaluations=60), tmp_path)
    assert resumed.history == straight.history
    assert resumed.state_dict() == straight.state_dict()


def test_the_number_of_workers_at_the_start_stays():
    first = asha(batch="workers", evaluations=40)
    for _ in range(10):
        first.step()
    assert first.summary()["batch"] == 6
    more = Noisy()
    more.workers = 9
    again = asha(more, batch="workers", evaluations=40)
    assert again.batch == 18
    again.load_state_dict(first.state_dict())
    assert run(again).history == run(first).history


def test_a_short_evaluation_does_not_wait_for_a_long_one():
    searcher = run(asha(batch=2))
    told = [e.budget for e in searcher.history]
    long = told.index(9)
    assert 1 in told[:long]
    waits = [told.index(1, i) - i for i, budget in enumerate(told) if budget == 9 and 1 in told[i:]]
    assert min(waits) == 1


def test_eta_must_reduce():
    with pytest.raises(ValidationError):
        AshaConfig(eta=1.0)
