"""Candidates that cannot be evaluated."""

import errno
import json
import math
import warnings
from pathlib import Path

import pytest

from nasforge.arch import Arch
from nasforge.errors import AccessError, DataError, RunError
from nasforge.evaluator import Evaluation
from nasforge.parallel.failures import Tolerant
from nasforge.plugins import Registry
from nasforge.runtime import checkpoint
from support.toy_table import Table, ToySpace, run, searcher_context


class Fragile(Table):
    """Fails whenever the first digit is ``a``, which a third of all architectures have."""

    def __init__(self, wrong: str = "a") -> None:
        super().__init__()
        self.wrong = wrong

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        found = super().evaluate(arch, budget=budget)
        if arch["c0"][0] in self.wrong:
            raise ZeroDivisionError("no such thing")
        return found


class Scripted(Table):
    """Raises or returns what it is given, in turn."""

    def __init__(self, *script) -> None:
        super().__init__()
        self.script = list(script)

    def evaluate(self, arch, *, budget=None):
        self.asked.append(arch)
        answer = self.script.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return Evaluation(arch, answer)


ARCH = Arch({f"c{i}": ("b",) for i in range(5)})


def tolerant(evaluator: Table) -> Tolerant:
    evaluator.setup(searcher_context())
    return Tolerant(evaluator)


@pytest.mark.filterwarnings("ignore:search. candidate")
def test_a_candidate_has_two_attempts():
    evaluator = tolerant(inner := Scripted(MemoryError(), 3.0, MemoryError(), OSError("disk"), 4.0))
    assert evaluator.evaluate(ARCH) == Evaluation(ARCH, 3.0)
    failed = evaluator.evaluate(ARCH)
    assert failed.score == -math.inf
    assert failed.failed.startswith("OSError: disk (test_failures.py, line ")
    assert evaluator.evaluate(ARCH).score == 4.0
    assert len(inner.asked) == 5


def test_both_attempts_are_told():
    with pytest.warns(UserWarning, match="candidate") as told:
        tolerant(Scripted(RunError("the loss is nan."), RunError("the loss is inf."))).evaluate(ARCH)
    assert [str(w.message) for w in told] == [
        f"search: candidate {ARCH.key}: the loss is nan. It is evaluated once more.",
        f"search: candidate {ARCH.key} is recorded as failed (the loss is inf.). The search continues.",
    ]


@pytest.mark.filterwarnings("ignore:search. candidate")
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_a_failure(score):
    failed = tolerant(Scripted(score, score)).evaluate(ARCH)
    assert failed.failed == f"the score is {score}, not a number to compare with others."


@pytest.mark.parametrize(
    "error",
    [
        DataError("no images"),
        AccessError("locked"),
        KeyboardInterrupt(),
        OSError(errno.ENOSPC, "No space left on device", "slot.safetensors"),
        OSError(errno.EFBIG, "File too large", "slot.safetensors"),
    ],
    ids=lambda error: getattr(error, "strerror", None) or type(error).__name__,
)
def test_what_concerns_the_whole_run_is_raised_at_once(error):
    evaluator = tolerant(inner := Scripted(error))
    with pytest.raises(type(error)):
        evaluator.evaluate(ARCH)
    assert len(inner.asked) == 1


@pytest.mark.filterwarnings("ignore:search. candidate")
def test_many_failures_in_a_row_stop_the_search():
    broken = [ZeroDivisionError("always")] * 2
    evaluator = tolerant(Scripted(*broken * 4, 1.0, *broken * 5))
    assert [bool(evaluator.evaluate(ARCH).failed) for _ in range(5)] == [True] * 4 + [False]
    for _ in range(4):
        evaluator.evaluate(ARCH)
    with pytest.raises(RunError, match=r"5 candidates in a row could not be evaluated.*always") as stopped:
        evaluator.evaluate(ARCH)
    assert isinstance(stopped.value.__cause__, ZeroDivisionError)


def test_a_failure_survives_json():
    failed = Evaluation(ARCH, -math.inf, 2.0, budget=3, failed="why")
    text = json.dumps(failed.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == failed


SEARCHERS = {
    "random": {"evaluations": 40},
    "grid": {"evaluations": 100},
    "evolution": {"evaluations": 60, "population": 8, "tournament": 3, "batch": 3},
    "local-search": {"evaluations": 80, "starts": 2},
    "local-search, batch": {"evaluations": 80, "starts": 1, "batch": 4},
    "local-search, best": {"evaluations": 80, "starts": 1, "move": "best"},
    "bananas": {"evaluations": 30, "initial": 4, "batch": 4, "candidates": 12, "members": 2},
    "nsga2": {"evaluations": 40, "population": 6, "objectives": ("score", "-budget")},
    "spos": {"population": 6, "generations": 5, "parents": 3},
    "successive-halving": {"evaluations": 40, "first": 9, "budgets": (1, 3, 9)},
    "hyperband": {"evaluations": 40, "budgets": (1, 3, 9)},
    "asha": {"evaluations": 40, "budgets": (1, 3, 9), "batch": 4},
}


def make(name: str, seed: int, wrong: str = "a"):
    plugin = Registry.discover().get("searcher", name.partition(",")[0])
    searcher = plugin.load()(plugin.config(**SEARCHERS[name]))
    space, inner = ToySpace(digits=5, base=3), Fragile(wrong)
    inner.setup(searcher_context(None, seed, space))
    evaluator = Tolerant(inner)
    searcher.setup(searcher_context(evaluator, seed, space))
    return searcher


@pytest.fixture
def patient(monkeypatch):
    """Several failures may follow each other here: that is the toy space's doing."""
    monkeypatch.setattr("nasforge.parallel.failures.IN_A_ROW", 10**6)


@pytest.mark.usefixtures("patient")
@pytest.mark.filterwarnings("ignore:search. candidate")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_goes_on_after_failures(name, seed, tmp_path: Path):
    searcher = make(name, seed)
    path = tmp_path / "state.safetensors"
    failed = 0
    while not searcher.done:
        metrics = searcher.step()
        last = searcher.history[-1]
        failed += last.failed is not None
        assert all(math.isfinite(value) for value in metrics.values())
        assert ("failed" in metrics) == (last.failed is not None) == (last.arch["c0"] == ("a",))
        if failed < len(searcher.history):
            found = (searcher.best(), *searcher.front())
            assert ("a",) not in [arch["c0"] for arch in found]
    assert 0 < failed < len(searcher.history)
    checkpoint.save(path, searcher.state_dict())
    again = make(name, seed)
    again.load_state_dict(checkpoint.load(path))
    assert again.history == searcher.history
    assert again.best() == searcher.best()


@pytest.mark.usefixtures("patient")
@pytest.mark.filterwarnings("ignore:search. candidate")
@pytest.mark.parametrize("name", SEARCHERS)
def test_no_searcher_stumbles_if_everything_fails(name):
    searcher = run(make(name, 0, wrong="abc"))
    assert all(e.failed for e in searcher.history)
    searcher.ctx.space.validate(searcher.best())
    assert searcher.front()


@pytest.mark.filterwarnings("ignore:search. candidate")
@pytest.mark.parametrize("name", ["successive-halving", "hyperband"])
def test_what_failed_is_not_promoted(name):
    searcher = run(make(name, 1))
    failed = {e.arch for e in searcher.history if e.failed and e.budget == 1}
    assert failed
    assert (
        not failed & {e.arch for e in searcher.history if e.budget == 3 and e.failed} or name == "hyperband"
    )


def test_nothing_is_said_when_nothing_fails():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tolerant(Table()).evaluate(ARCH).failed is None
