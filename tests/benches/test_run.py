"""Benches: equal budgets, the same bits after any interruption, and what is refused."""

import json
from pathlib import Path

import pytest

import nasforge
from nasforge.benches import job as one_run
from nasforge.benches import run as benchmark
from nasforge.errors import RecipeError, RunError
from nasforge.observer import Observer
from nasforge.plugins import Registry

TOY = """
from nasforge import Arch, Choice, Evaluation, Evaluator, Plugin, PluginConfig, SearchSpace, hookimpl


class Space(SearchSpace):
    choices = (Choice("a", tuple("pqr")), Choice("b", tuple("pqr")))


    def cost(self, arch, task):
        return {"params": 1.0 + "pqr".index(arch["b"][0])}


class Options(PluginConfig):
    seconds: float = 2.0
    fails: bool = False
    fails_first: bool = False


class Score(Evaluator):
    def setup(self, ctx):
        super().setup(ctx)
        self.calls = 0

    def evaluate(self, arch, *, budget=None):
        self.calls += 1
        if self.config.fails:
            return Evaluation(arch, float("-inf"), 1.0, failed="it burns")
        if self.config.fails_first and self.calls == 1:
            return Evaluation(arch, float("-inf"), 1.0, failed="it was cold")
        score = 10 * "pqr".index(arch["a"][0]) + "pqr".index(arch["b"][0])
        metrics = {"size": score % 3, "calls": self.calls}
        return Evaluation(arch, score, self.config.seconds * (budget or 4) / 4, metrics)

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


@hookimpl
def nasforge_plugins():
    return [
        Plugin("space", "toy-space", f"{__name__}:Space"),
        Plugin("evaluator", "toy-score", f"{__name__}:Score", Options, needs=frozenset({"space"})),
    ]
"""


@pytest.fixture
def toy(tmp_path):
    """A space of nine architectures; scores 0 to 22, each for two seconds."""
    (tmp_path / "toy.py").write_text(TOY)
    path = tmp_path / "toy.toml"
    path.write_text(
        'plugins.modules = "./toy.py"\n[space]\nuse = "toy-space"\n[evaluator]\nuse = "toy-score"\n'
        '[searcher]\nuse = "random"\n[run]\nthreads = 1\n'
    )
    return path


TABLE = {
    "run": {"name": "b", "threads": 1},
    "space": {"use": "nasbench201"},
    "searcher": {"use": "evolution", "population": 5, "tournament": 2},
    "evaluator": {"use": "tabular"},
    "bench": {"searchers": ["evolution", "local-search"], "seeds": 3, "budget": 12},
}


def contents(folder: Path):
    """Everything that a bench has found, without how long it took."""
    runs = {
        path.parent.name + path.name: json.loads(path.read_text()) for path in folder.glob("runs/*/*.json")
    }
    for run in runs.values():
        assert run.pop("own_seconds") >= 0
    return runs, *(
        folder.joinpath(n).read_text() for n in ("summary.json", "summary.csv", "summary.md", "runs.csv")
    )


def test_everyone_has_the_same_budget_and_random_takes_part(tmp_path):
    found = nasforge.bench(TABLE, out=tmp_path)
    assert [(line.name, line.runs, line.evaluations) for line in found.standings] == [
        *(("random", 3, 12), ("evolution", 3, 12), ("local-search", 3, 12))
    ]
    runs = contents(found.folder)[0]
    assert {run["stopped"] for run in runs.values()} == {"budget"}
    # Evolution proposes what it knows again; such steps are free.
    assert all(run["steps"] >= run["evaluations"] for run in runs.values())
    assert not (found.folder / "work").exists()


def test_the_score_is_that_of_what_was_returned(tmp_path):
    found = nasforge.bench(TABLE, seeds=2, out=tmp_path)
    plugin = Registry.discover().get("space", "nasbench201")
    space = plugin.load()(plugin.config())
    for run in contents(found.folder)[0].values():
        known = space.lookup(nasforge.Arch(run["architecture"]))
        assert run["score"] == run["metrics"]["valid_accuracy"] == known["cifar10_valid_accuracy"]
        assert run["notation"] == space.notation(nasforge.Arch(run["architecture"]))
    line = found.standings[1]
    scores = [contents(found.folder)[0][f"evolution{seed}.json"]["score"] for seed in (0, 1)]
    assert line.mean == pytest.approx(sum(scores) / 2)
    assert line.best == max(scores)


def test_a_search_of_a_bench_is_the_search_of_a_run(tmp_path):
    """Random search makes the same proposals, so it returns the same."""
    tables = {k: v for k, v in TABLE.items() if k != "bench"} | {
        "searcher": {"use": "random", "evaluations": 12}
    }
    run = nasforge.run(tables, seed=1, out=tmp_path)
    found = nasforge.bench(TABLE, out=tmp_path / "benches")
    assert contents(found.folder)[0]["random1.json"]["architecture"] == run.results["search"]["architecture"]


def test_the_same_command_again_does_nothing_and_gives_the_same(tmp_path, monkeypatch):
    first = nasforge.bench(TABLE, out=tmp_path)
    before = contents(first.folder)
    monkeypatch.setattr(benchmark, "search_once", lambda job: pytest.fail("nothing is left to do"))
    again = nasforge.bench(TABLE, out=tmp_path)
    assert (again.done_before, again.standings) == (9, first.standings)
    assert contents(again.folder) == before


def test_a_killed_bench_goes_on_to_the_same_bits(tmp_path):
    whole = nasforge.bench(TABLE, out=tmp_path / "whole")

    class Stop(Observer):
        def bench_run_end(self, done, total, result):
            if done == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nasforge.bench(TABLE, out=tmp_path / "killed", observers=[Stop()])
    assert len(list((tmp_path / "killed").glob("b/runs/*/*.json"))) == 4
    rest = nasforge.bench(TABLE, out=tmp_path / "killed")
    assert rest.done_before == 4
    assert contents(rest.folder) == contents(whole.folder)


def test_a_run_that_was_killed_inside_goes_on_where_it_was(toy, tmp_path, monkeypatch):
    options = {"evolution": {"population": 3, "tournament": 2}}
    bench = {"searchers": ["evolution"], "options": options, "seeds": 2, "budget": 7}
    whole = nasforge.bench(toy, out=tmp_path / "whole", **bench)
    monkeypatch.setattr(one_run, "PAUSE", -1.0)
    saves, save = [], one_run.checkpoint.save

    def killed(path, state):
        save(path, state)
        saves.append(path)
        if len(saves) % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(one_run.checkpoint, "save", killed)
    for _ in range(20):
        try:
            found = nasforge.bench(toy, out=tmp_path / "killed", **bench)
            break
        except KeyboardInterrupt:
            continue
    assert len(saves) > 10
    # "calls" counts in the evaluator: nothing was evaluated twice or forgotten.
    assert contents(found.folder) == contents(whole.folder)


@pytest.mark.slow
def test_processes_change_nothing(toy, tmp_path):
    bench = {"searchers": ["local-search"], "seeds": 3, "budget": 6}
    one = nasforge.bench(toy, out=tmp_path / "one", **bench)
    two = nasforge.bench(toy, out=tmp_path / "two", workers=2, **bench)
    assert contents(two.folder) == contents(one.folder)
    with pytest.raises(RunError, match="is smaller than one evaluation"):
        nasforge.bench(toy, out=tmp_path / "bad", workers=2, seeds=1, budget="1 s")


def test_searchers_and_seeds_may_join(tmp_path):
    nasforge.bench(TABLE, searchers=["evolution"], seeds=2, out=tmp_path)
    more = nasforge.bench(TABLE, searchers=["local-search", "evolution"], seeds=3, out=tmp_path)
    assert more.done_before == 4
    whole = nasforge.bench(TABLE, searchers=["local-search", "evolution"], out=tmp_path / "whole")
    assert contents(more.folder) == contents(whole.folder)
    assert [line.name for line in more.standings] == ["random", "local-search", "evolution"]


def test_another_bench_does_not_fit_into_the_folder(tmp_path):
    nasforge.bench(TABLE, seeds=1, out=tmp_path)
    for change, words in (
        ({"budget": 13}, r"budget: '12 evaluations' in the folder, '13 evaluations' now"),
        (
            {"options": {"evolution": {"population": 6}}},
            r"searchers\.evolution\.population: 5 in the folder, 6 now",
        ),
        (
            {"overrides": ["evaluator.dataset='cifar100'"]},
            r"evaluator\.dataset: nothing in the folder, 'cifar100' now",
        ),
    ):
        with pytest.raises(RunError, match=words):
            nasforge.bench(TABLE, seeds=1, out=tmp_path, **change)
    nasforge.bench(
        TABLE, seeds=1, searchers=["s = evolution"], options={"s": {"population": 6}}, out=tmp_path
    )
    (tmp_path / "b2").mkdir()
    (tmp_path / "b2" / "mine.txt").touch()
    with pytest.raises(RunError, match="exists and is not a bench"):
        nasforge.bench(TABLE, ["run.name='b2'"], out=tmp_path)


def test_seconds_are_kept_and_cheap_evaluations_are_cheap(toy, tmp_path):
    found = nasforge.bench(
        toy,
        searchers=["successive-halving"],
        options={"successive-halving": {"budgets": (1, 4), "first": 4, "eta": 4.0}},
        seeds=4,
        budget="9 s",
        out=tmp_path,
    )
    random, halving = found.standings
    assert (random.evaluations, random.seconds) == (4, 8)
    assert halving.evaluations > 4
    assert halving.seconds <= 9
    runs = contents(found.folder)[0]
    # Whatever budget it was found with, it is judged by the evaluator's own.
    assert all(run["score"] in (0, 1, 2, 10, 11, 12, 20, 21, 22) for run in runs.values())


def test_what_was_found_by_cheap_evaluations_only_is_judged_like_all_others(toy, tmp_path):
    options = {"successive-halving": {"budgets": (1, 4), "first": 8, "eta": 8.0}}
    found = nasforge.bench(
        toy, searchers=["successive-halving"], options=options, seeds=1, budget="3 s", out=tmp_path
    )
    run = contents(found.folder)[0]["successive-halving0.json"]
    assert (run["evaluations"], run["seconds"]) == (6, 3.0)
    assert run["metrics"]["calls"] == 7  # the judge's, and it is free


def test_a_space_that_is_seen_completely_ends_the_search(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(one_run, "STALLED", 5)
    found = nasforge.bench(toy, searchers=["grid"], seeds=1, budget=100, out=tmp_path)
    runs = contents(found.folder)[0]
    assert (runs["random0.json"]["stopped"], runs["random0.json"]["evaluations"]) == ("nothing new", 9)
    assert (runs["grid0.json"]["stopped"], runs["grid0.json"]["evaluations"]) == ("searcher", 9)
    assert [line.mean for line in found.standings] == [22, 22]
    assert found.standings[1].difference.mean == 0


def test_a_budget_below_one_evaluation_is_refused_with_its_cost(toy, tmp_path):
    with pytest.raises(
        RunError, match=r"1\.5 seconds is smaller than one evaluation: .*'random' with seed 0 takes 2\.0"
    ):
        nasforge.bench(toy, seeds=1, budget="1.5 s", out=tmp_path)
    # Nothing came of it, so the folder takes a better budget.
    assert nasforge.bench(toy, seeds=1, budget="6 s", out=tmp_path).standings[0].evaluations == 3


def test_unknown_objectives_are_found_by_the_first_evaluation_of_anyone(toy, tmp_path):
    options = {"nsga2": {"objectives": ["scor", "-size"]}, "m": {"objectives": ["score", "-macs"]}}
    with pytest.raises(RecipeError) as caught:
        nasforge.bench(toy, searchers=["nsga2", "m = nsga2"], options=options, budget=30, out=tmp_path)
    assert caught.value.problems == (
        "bench.options.nsga2.objectives: 'scor': the evaluator reports no 'scor'. Did you mean 'score'?",
        "bench.options.m.objectives: '-macs': the evaluator reports no 'macs'. Known: calls, score, size.",
    )
    assert not list(tmp_path.glob("*/runs/*/*.json"))


def test_what_the_space_costs_is_an_objective_though_the_evaluator_does_not_report_it(toy, tmp_path):
    options = {"nsga2": {"objectives": ["score", "-params"], "population": 4}}
    found = nasforge.bench(toy, searchers=["nsga2"], options=options, seeds=1, budget=6, out=tmp_path)
    assert [line.evaluations for line in found.standings] == [6, 6]


def test_a_failed_evaluation_says_nothing_about_objectives(toy, tmp_path):
    options = {"nsga2": {"objectives": ["score", "-size"], "population": 4}}
    sets = ["evaluator.fails_first=true"]
    found = nasforge.bench(toy, sets, searchers=["nsga2"], options=options, seeds=1, budget=6, out=tmp_path)
    assert [line.evaluations for line in found.standings] == [6, 6]


def test_when_everything_fails_the_reason_is_told(toy, tmp_path):
    with pytest.raises(RunError, match="'random' with seed 0 found nothing that works: it burns"):
        nasforge.bench(toy, ["evaluator.fails=true"], seeds=1, budget=3, out=tmp_path)


def test_two_processes_do_not_share_a_folder(toy, tmp_path):
    class Twice(Observer):
        def bench_run_end(self, done, total, result):
            with pytest.raises(RunError, match="another process is working in this folder"):
                nasforge.bench(toy, seeds=1, budget=3, out=tmp_path)
            tried.append(done)

    tried = []
    nasforge.bench(toy, seeds=1, budget=3, out=tmp_path, observers=[Twice()])
    assert tried == [1]
