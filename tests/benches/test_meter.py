"""Budgets are kept to the last evaluation."""

import pytest

from nasforge.arch import Arch
from nasforge.benches.meter import BudgetMeter, BudgetSpent
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation
from nasforge.recipe.budget import Budget
from support.toy_table import Table, ToySpace, searcher_context

SPACE = ToySpace()
ARCHS = [arch for arch, _ in zip(SPACE.enumerate(), range(20), strict=False)]


class Priced(Table):
    """Asks as many seconds as its list says."""

    def __init__(self, *costs, **marks):
        super().__init__()
        self.costs, self.marks = list(costs), marks

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        self.asked.append(arch)
        return Evaluation(arch, self.score(arch), self.costs[len(self.asked) - 1], {}, **self.marks)

    def state_dict(self):
        return {"asked": len(self.asked)}

    def load_state_dict(self, state):
        self.asked = ARCHS[: state["asked"]]


def metered(table, unit, amount, **more):
    table.setup(searcher_context(space=SPACE))
    return BudgetMeter(table, Budget(unit, amount), **more)


def test_as_many_evaluations_as_there_may_be():
    table = Priced(*[1.5] * 9)
    meter = metered(table, "evaluations", 3)
    for arch in ARCHS[:3]:
        assert not meter.spent
        meter.evaluate(arch)
    assert (meter.spent, meter.evaluations, meter.seconds) == (True, 3, 4.5)
    with pytest.raises(BudgetSpent):
        meter.evaluate(ARCHS[3])
    assert len(table.asked) == 3


def test_what_ends_too_late_is_not_told():
    meter = metered(Priced(4, 5, 2, 1), "seconds", 10)
    meter.evaluate(ARCHS[0])
    meter.evaluate(ARCHS[1])
    with pytest.raises(BudgetSpent):
        meter.evaluate(ARCHS[2])
    assert (meter.evaluations, meter.seconds, meter.spent) == (2, 9, False)


def test_exactly_the_budget_is_within_it():
    meter = metered(Priced(4, 6, 1), "seconds", 10)
    meter.evaluate(ARCHS[0])
    meter.evaluate(ARCHS[1])
    assert (meter.evaluations, meter.spent) == (2, True)


def test_the_end_is_no_error_that_somebody_could_handle():
    assert not issubclass(BudgetSpent, Exception)


def test_seconds_need_an_evaluator_that_reports_them():
    with pytest.raises(RunError, match=r"10 seconds cannot be counted: Priced reports no cost"):
        metered(Priced(0.0), "seconds", 10).evaluate(ARCHS[0])


def test_estimates_cost_their_time_and_are_no_evaluations():
    meter = metered(Priced(1, 1, 1, estimated=True), "evaluations", 2)
    for arch in ARCHS[:3]:
        meter.evaluate(arch)
    assert (meter.evaluations, meter.calls, meter.seconds) == (0, 3, 3)


def test_the_judge_is_free_and_asks_only_what_is_not_known():
    table = Priced(*[1] * 9)
    meter = metered(table, "evaluations", 2)
    meter.evaluate(ARCHS[0])
    meter.evaluate(ARCHS[1], budget=3)
    assert meter.evaluate_result(ARCHS[0]).score == table.score(ARCHS[0])
    assert len(table.asked) == 2
    assert meter.evaluate_result(ARCHS[1]).arch == ARCHS[1]
    assert len(table.asked) == 3
    assert (meter.evaluations, meter.seconds) == (2, 2)


def test_the_first_evaluation_is_shown():
    seen = []
    meter = metered(Priced(1, 1), "evaluations", 2, look=seen.append)
    meter.evaluate(ARCHS[0])
    meter.evaluate(ARCHS[1])
    assert [evaluation.arch for evaluation in seen] == ARCHS[:1]


def test_everything_survives_a_restart():
    meter = metered(Priced(1, 2, 3, 4), "seconds", 7)
    meter.evaluate(ARCHS[0])
    meter.evaluate(ARCHS[1], budget=5)
    later = metered(Priced(1, 2, 3, 4), "seconds", 7)
    later.load_state_dict(meter.state_dict())
    assert later.state_dict() == meter.state_dict()
    for each in (meter, later):
        each.evaluate(ARCHS[2])
        with pytest.raises(BudgetSpent):
            each.evaluate(ARCHS[3])
    assert later.evaluate_result(ARCHS[0]).cost == 1


def test_what_else_the_evaluator_has_is_there():
    meter = metered(Priced(1), "evaluations", 1)
    assert meter.costs == [1]
    assert meter.workers == 1
    with pytest.raises(AttributeError):
        _ = meter.absent


def test_the_curve_has_every_better_score():
    table = Priced(*[2.0] * 6)
    meter = metered(table, "evaluations", 6)
    for arch in ARCHS[:6]:
        meter.evaluate(arch)
    expected, best = [], float("-inf")
    for count, arch in enumerate(ARCHS[:6], 1):
        if (score := table.score(arch)) > best:
            best = score
            expected.append((count, 2.0 * count, score))
    assert meter.curve == expected
    again = metered(Priced(*[2.0] * 6), "evaluations", 6)
    again.load_state_dict(meter.state_dict())
    assert again.curve == expected
    assert again.state_dict() == meter.state_dict()


def test_scores_of_a_smaller_budget_leave_the_curve():
    table = Priced(*[1.0] * 4)
    meter = metered(table, "evaluations", 4)
    best, worst = max(ARCHS, key=table.score), min(ARCHS, key=table.score)
    for arch, budget in ((best, 1), (worst, 3), (best, 1), (best, None)):
        meter.evaluate(arch, budget=budget)
    low, high = table.score(worst), table.score(best)
    assert meter.curve == [(1, 1.0, high), (2, 2.0, low), (4, 4.0, high)]
