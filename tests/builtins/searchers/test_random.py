from pathlib import Path

from nasforge.arch import Arch
from nasforge_plugins.searchers.random.config import RandomConfig
from nasforge_plugins.searchers.random.searcher import RandomSearch
from support.toy_table import Table, ToySpace, resumed_after_every_step, run, searcher_context


def random_search(
    table: Table, evaluations: int, space: ToySpace | None = None, seed: int = 0
) -> RandomSearch:
    searcher = RandomSearch(RandomConfig(evaluations=evaluations))
    searcher.setup(searcher_context(table, seed, space))
    return searcher


def test_it_finds_everything_in_a_small_space_once() -> None:
    table = Table()
    space = ToySpace(digits=3, base=3)
    searcher = run(random_search(table, 27, space))
    assert len(set(table.asked)) == len(table.asked) == 27
    assert searcher.total_steps == 27
    assert table.score(searcher.best()) == max(table.score(arch) for arch in table.asked)


def test_it_goes_on_when_nothing_is_new() -> None:
    table = Table()
    searcher = run(random_search(table, 9, ToySpace(digits=1, base=4)))
    assert len(table.asked) == 4
    assert len(searcher.history) == 9
    assert sum(e.cost for e in searcher.history) == 4.0


def test_architectures_that_mean_the_same_count_as_one() -> None:
    class Folded(ToySpace):
        def canonical(self, arch: Arch) -> Arch:
            return Arch({**arch, "c0": "a"})

    table = Table()
    run(random_search(table, 9, Folded(digits=3, base=3)))
    assert len(set(table.asked)) == len(table.asked) == 9
    assert {arch["c0"] for arch in table.asked} == {("a",)}


def test_the_seed_decides_the_search() -> None:
    first, again, other = (run(random_search(Table(), 20, seed=s)).history for s in (1, 1, 2))
    assert first == again
    assert [e.arch for e in first] != [e.arch for e in other]


def test_stopping_after_every_step_changes_nothing(tmp_path: Path) -> None:
    tables = Table(), Table()
    whole = run(random_search(tables[0], 25, ToySpace(digits=2)))
    parts = resumed_after_every_step(lambda: random_search(tables[1], 25, ToySpace(digits=2)), tmp_path)
    assert parts.state_dict() == whole.state_dict()
    assert tables[0].asked == tables[1].asked
