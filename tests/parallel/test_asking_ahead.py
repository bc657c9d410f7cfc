"""Searchers that propose several architectures before they are told of the first."""

from collections import Counter
from pathlib import Path

import pytest

from nasforge.arch import Arch
from nasforge.plugins import Registry
from nasforge.searcher import AskTellSearcher
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context


class Watched(Table):
    """Knows what it was told to expect, and claims to have many workers."""

    workers = 4

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[tuple[Arch, int | None]] = []
        self.evaluated: list[tuple[Arch, int | None]] = []

    def expect(self, arch: Arch, *, budget: int | None = None) -> None:
        self.expected.append((arch, budget))

    def evaluate(self, arch: Arch, *, budget: int | None = None):
        self.evaluated.append((arch, budget))
        return super().evaluate(arch, budget=budget)


SEARCHERS = {
    "random": {"evaluations": 40},
    "grid": {"evaluations": 40},
    "evolution": {"evaluations": 60, "population": 8, "tournament": 3},
    "local-search": {"evaluations": 60, "starts": 3},
    "local-search, best": {"evaluations": 60, "starts": 3, "move": "best"},
    "bananas": {"evaluations": 30, "initial": 6, "batch": 4, "candidates": 12, "members": 2},
    "nsga2": {"evaluations": 40, "population": 6, "objectives": ("score", "-budget")},
    "spos": {"population": 6, "generations": 5, "parents": 3},
    "successive-halving": {"evaluations": 40, "first": 9, "budgets": (1, 3, 9)},
    "hyperband": {"evaluations": 40, "budgets": (1, 3, 9)},
}


def make(name: str, table: Table | None = None, seed: int = 0, **options) -> AskTellSearcher:
    plugin = Registry.discover().get("searcher", name.partition(",")[0])
    searcher = plugin.load()(plugin.config(**{**SEARCHERS.get(name, {}), **options}))
    searcher.setup(searcher_context(table or Watched(), seed, ToySpace(digits=5, base=3)))
    return searcher


def proposed(searcher: AskTellSearcher) -> list[tuple[Arch, float, int | None]]:
    return [(e.arch, e.score, e.budget) for e in searcher.history]


@pytest.mark.parametrize("name", SEARCHERS)
def test_asking_ahead_changes_nothing(name, monkeypatch):
    ahead = make(name)
    most = 0
    while not ahead.done:
        ahead.step()
        most = max(most, len(ahead.pending))
    assert most > 0
    one_by_one = make(name)
    monkeypatch.setattr(one_by_one, "asks_ahead", lambda: False)
    assert proposed(run(one_by_one)) == proposed(ahead)
    assert one_by_one.rng.getstate() == ahead.rng.getstate()


@pytest.mark.parametrize("name", SEARCHERS)
def test_everything_is_announced_once_and_then_evaluated(name):
    table = Watched()
    run(make(name, table))
    assert Counter(table.expected) == Counter(table.evaluated)
    assert max(Counter(table.expected).values()) == 1


BATCHES = {"evolution": {"batch": 4}, "local-search": {"batch": 4}, "bananas": {"batch": 5}}


@pytest.mark.parametrize("name", [*SEARCHERS, *(f"{name}, batch" for name in BATCHES)])
def test_a_search_stopped_with_proposals_pending_goes_on_exactly(name, tmp_path: Path):
    options = BATCHES[name.partition(",")[0]] if name.endswith("batch") else {}
    name = name.removesuffix(", batch")
    straight = run(make(name, **options))
    resumed = resumed_after_every_step(lambda: make(name, **options), tmp_path)
    assert proposed(resumed) == proposed(straight)
    assert resumed.state_dict() == straight.state_dict()


def test_after_a_restart_what_is_pending_is_announced_again():
    first = make("nsga2", table := Watched())
    first.step()
    assert len(first.pending) == 5
    again = make("nsga2", fresh := Watched())
    again.load_state_dict(first.state_dict())
    again.step()
    assert fresh.expected == table.expected[1:]


@pytest.mark.parametrize("name", ["evolution", "local-search"])
def test_a_batch_is_as_large_as_was_asked_for(name):
    searcher = make(name, batch=4)
    pending = []
    while not searcher.done:
        searcher.step()
        if len(searcher.history) > 20:
            pending.append(len(searcher.pending))
    assert max(pending) == 3


def test_a_batch_is_no_larger_than_the_population():
    with pytest.raises(ValueError, match=r"batch \(9\) must not be above population \(8\)"):
        make("evolution", batch=9)


@pytest.mark.parametrize(("name", "options"), [("evolution", {}), ("bananas", {"asynchronous": True})])
def test_a_batch_of_the_workers_is_kept_when_their_number_changes(name, options, tmp_path):
    options = {**options, "batch": "workers"}
    straight = make(name, **options)
    pending = []
    while not straight.done:
        straight.step()
        pending.append(len(straight.pending))
    assert straight.batch == 2 * Watched.workers
    # Whenever one has been told, the next is proposed: all are busy until the end.
    assert set(pending[len(pending) // 2 : -2 * Watched.workers]) == {2 * Watched.workers - 1}
    fixed = make(name, **{**options, "batch": 2 * Watched.workers})
    assert proposed(run(fixed)) == proposed(straight)
    stopped = make(name, **options)
    for _ in range(15):
        stopped.step()
    alone = make(name, Table(), **options)
    alone.load_state_dict(stopped.state_dict())
    assert proposed(run(alone)) == proposed(straight)


@pytest.mark.parametrize("name", ["random", "grid"])
def test_independent_proposals_are_as_many_as_the_workers_need(name):
    alone = Table()
    searcher = make(name, alone)
    searcher.step()
    assert searcher.pending == []
    busy = make(name, Watched())
    busy.step()
    assert len(busy.pending) == 3 * Watched.workers - 1


def test_a_repeated_proposal_waits_for_the_pending_one():
    class Twice(AskTellSearcher):
        evaluations = 4

        def ask(self):
            return Arch({c.name: ("a",) for c in self.ctx.space.choices})

        def asks_ahead(self):
            return True

    plugin = Registry.discover().get("searcher", "random")
    searcher = Twice(plugin.config())
    searcher.setup(searcher_context(table := Watched(), 0, ToySpace(digits=5, base=3)))
    run(searcher)
    assert len(table.evaluated) == len(table.expected) == 1
    assert [e.cost for e in searcher.history] == [1.0, 0.0, 0.0, 0.0]
