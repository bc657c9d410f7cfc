"""When the collapse guard steps in, on given eigenvalues and architectures, and where it goes back to."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.nn import ArchParameters
from nasforge_plugins.searchers.gradient.collapse import CollapseGuard, growth
from nasforge_plugins.searchers.gradient.options import GuardOptions
from support.twin_world import TinySpace


class Script:
    """A landscape whose eigenvalues are given."""

    def __init__(self, eigenvalues) -> None:
        self._eigenvalues = iter(eigenvalues)

    def eigenvalue(self, steps):
        return next(self._eigenvalues)

    def gap(self, arch):
        return 0.0


def play(guard, alpha, steps, arch_at=None):
    """Let a guard observe steps, each with its own parameters; return those."""
    past = {}
    for step in steps:
        with torch.no_grad():
            for parameter in alpha.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step)))
        past[step] = [p.detach().clone() for p in alpha.parameters()]
        guard.observe(step, (arch_at or arch_of)(step))
        if guard.stopped:
            break
    return past


def arch_of(step, free=0):
    picks = {f"op/in{i}": "skip" if i < free else "conv" for i in range(3)}
    return Arch({"inputs": ["in0", "in1"], **picks})


def scripted(policy, eigenvalues, **options):
    space = TinySpace(PluginConfig())
    alpha = ArchParameters(space.choices)
    settings = {"start": 0, "window": 3, "policy": policy, **options}
    return CollapseGuard(GuardOptions(**settings), space, alpha, Script(eigenvalues)), alpha


RISING = [1.0, 1.0, 1.0, 1.0, 1.1, 1.2, 1.5, 2.0, 2.5, 3.0]


@pytest.mark.filterwarnings("ignore:collapse after step")
def test_rolling_back_returns_the_middle_of_the_window_before():
    guard, alpha = scripted("rollback", RISING)
    past = play(guard, alpha, range(11, 21))
    # Steps 16 to 18 average 4.7 / 3, 13 to 15 3.1 / 3.
    assert guard.stopped
    assert (guard.verdict.step, guard.verdict.criterion, guard.verdict.returned) == (18, "curvature", 14)
    assert guard.verdict.value == pytest.approx(4.7 / 3.1)
    assert all(torch.equal(p, q) for p, q in zip(alpha.parameters(), past[14], strict=True))
    told = guard.summary()["guard"]
    assert told["fired"]
    assert told["policy"] == "rollback"
    assert told["text"] == (
        "collapse after step 18: the dominant eigenvalue grew 1.52-fold, limit 1.33; the search was stopped "
        "and went back to step 14"
    )


@pytest.mark.parametrize("policy", ["warn", "stop"])
def test_warning_and_stopping_leave_the_parameters(policy):
    guard, alpha = scripted(policy, RISING)
    with pytest.warns(UserWarning, match="the dominant eigenvalue grew 1.52-fold") as said:
        past = play(guard, alpha, range(11, 21))
    assert len(said) == 1  # once, however long it goes on
    last = 18 if policy == "stop" else 20
    assert max(past) == last
    assert guard.stopped == (policy == "stop")
    assert (guard.verdict.step, guard.verdict.returned) == (18, None)
    assert all(torch.equal(p, q) for p, q in zip(alpha.parameters(), past[last], strict=True))


def test_a_falling_eigenvalue_and_an_early_one_are_no_collapse():
    guard, alpha = scripted("stop", RISING[::-1])
    play(guard, alpha, range(1, 11))
    assert guard.verdict is None
    assert guard.summary()["guard"] == {"policy": "stop", "fired": False, "text": "no collapse (stop)"}
    early, alpha = scripted("stop", [*RISING, *[3.0] * 4], start=8)
    play(early, alpha, range(1, 15))
    assert early.verdict is None


@pytest.mark.filterwarnings("ignore:collapse after step")
def test_too_many_parameter_free_options_go_back_to_the_last_sound_step():
    shares = {1: 0, 2: 1, 3: 2, 4: 1, 5: 3, 6: 3}
    guard, alpha = scripted("rollback", [1.0] * 6, max_free=0.5)
    past = play(guard, alpha, range(1, 7), lambda step: arch_of(step, shares[step]))
    assert (guard.verdict.step, guard.verdict.criterion, guard.verdict.returned) == (3, "parameter_free", 2)
    assert guard.verdict.describe("stop") == (
        "collapse after step 3: 67% of the derived options have no parameters, limit 50%; "
        "the search was stopped"
    )
    assert all(torch.equal(p, q) for p, q in zip(alpha.parameters(), past[2], strict=True))
    # Never sound: the least unsound, and of equals the latest.
    guard, alpha = scripted("rollback", [1.0] * 6, max_free=0.1, start=3)
    play(guard, alpha, range(1, 7), lambda step: arch_of(step, {1: 3, 2: 2, 3: 2, 4: 3}[step]))
    assert (guard.verdict.step, guard.verdict.returned) == (4, 3)


def test_what_is_no_number_is_left_out():
    guard, _ = scripted("stop", [1.0, math.nan, 1.0, 1.0, 1.0, 1.0])
    rows = [guard.observe(step, arch_of(step)) for step in range(1, 7)]
    assert ["hessian_eigenvalue" in row for row in rows] == [True, False, True, True, True, True]
    assert guard.verdict is None


def plain(guard):
    return {name: v.tolist() if name == "past" else v for name, v in guard.state_dict().items()}


@pytest.mark.filterwarnings("ignore:collapse after step")
def test_a_verdict_does_not_depend_on_where_the_search_was_stopped():
    whole, alpha = scripted("rollback", RISING)
    play(whole, alpha, range(1, 11))
    for stop in range(1, 8):
        first, alpha = scripted("rollback", RISING)
        play(first, alpha, range(1, stop + 1))
        second, alpha = scripted("rollback", RISING[stop:])
        second.load_state_dict(first.state_dict())
        play(second, alpha, range(stop + 1, 11))
        assert second.verdict == whole.verdict
        assert plain(second) == plain(whole)


@pytest.mark.parametrize(("values", "window", "expected"), [
    ([1.0, 2.0, 3.0], 2, None),
    ([9.0, 1.0, 3.0, 2.0, 4.0], 2, 1.5),
    ([-1.0, 1.0, -2.0, 2.0], 2, 2.0),
    ([0.0, 3.0], 1, math.inf),
    ([0.0, 0.0], 1, 1.0),
])  # fmt: skip
def test_growth_compares_two_windows(values, window, expected):
    assert growth(values, window) == expected


@pytest.mark.parametrize(("option", "value"), [
    ("policy", "on"), ("max_growth", 1.0), ("max_free", 1.5), ("window", 0),
    ("interval", 0), ("steps", 0), ("start", -1),
])  # fmt: skip
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ValidationError, match=option):
        GuardOptions(**{option: value})
