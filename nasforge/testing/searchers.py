"""Checks of searchers."""

from __future__ import annotations

import math
from dataclasses import replace

from nasforge.arch import Arch
from nasforge.constraints import Constraints, ConstraintsConfig
from nasforge.evaluator import Evaluation
from nasforge.searcher import AskTellSearcher
from nasforge.testing.common import Rule, Subject, difference, require, scratch
from nasforge.testing.forecasts import searches_are_forecast
from nasforge.testing.workbench import SearchDriver

__all__ = ["CHECKS"]

STEPS = 6
"""How many steps are looked at one by one; stopping after each of them must change nothing."""

RESUMING = (
    "Put what is missing into state_dict() and restore it in load_state_dict(). An ask/tell searcher draws "
    "from self.rng in ask() only; if tell() draws too, give it a generator of its own, made in setup() from "
    "derive_seed(ctx.seed, …) and drawn in tell() only: resuming tells all evaluations again."
)

LIMIT = 500
"""A search with its tiny options ends before this many steps."""


def resuming_equals_not_stopping(subject: Subject) -> None:
    """Stopping after any step and resuming from disk ends in the same state, bit for bit (law 3)."""
    with scratch() as folder:
        straight = SearchDriver(subject, folder)
        _watch_tell(straight.searcher)
        saved = []
        while not straight.searcher.done and straight.steps < STEPS:
            straight.step()
            saved.append(straight.state())
        for stop, state in enumerate(saved, start=1):
            resumed = SearchDriver(subject, folder)
            resumed.resume(state)
            _same(state, resumed.state(), f"saving, loading and saving again after step {stop} changes")
            for step in range(stop + 1, len(saved) + 1):
                resumed.step()
                _same(
                    saved[step - 1],
                    resumed.state(),
                    f"stopping after step {stop} and resuming changes, in step {step},",
                    RESUMING,
                )
            require(
                resumed.searcher.done == straight.searcher.done,
                f"after stopping at step {stop} and resuming, 'done' differs.",
            )
            require(
                resumed.searcher.best() == straight.searcher.best(),
                f"stopping after step {stop} and resuming changes best().",
            )


def _watch_tell(searcher: object) -> None:
    """Let ``tell`` fail if it draws from the generator of ``ask``: few steps need not show the difference."""
    if not isinstance(searcher, AskTellSearcher):
        return
    tell = searcher.tell

    def watched(result: Evaluation) -> None:
        before = searcher.rng.getstate()
        tell(result)
        require(searcher.rng.getstate() == before, f"tell() draws from self.rng. {RESUMING}")

    searcher.tell = watched  # type: ignore[method-assign]


def best_is_valid_after_every_step(subject: Subject) -> None:
    """``best`` and ``front`` return architectures of the space after every step."""
    with scratch() as folder:
        driver = SearchDriver(subject, folder)
        space = driver.searcher.ctx.space
        while driver.steps < STEPS:
            if not driver.searcher.done:
                driver.step()
            front = driver.searcher.front()
            require(front, f"front() is empty after step {driver.steps}; it holds at least best().")
            for arch in (driver.searcher.best(), *front):
                require(isinstance(arch, Arch), f"best() and front() return Arch, got {arch!r}.")
                space.validate(arch)
            if driver.searcher.done:
                break


def metrics_are_numbers(subject: Subject) -> None:
    """Every step returns finite numbers by name."""
    with scratch() as folder:
        driver = SearchDriver(subject, folder)
        while not driver.searcher.done and driver.steps < STEPS:
            driver.step()
            for name, value in driver.metrics[-1].items():
                good = isinstance(name, str) and isinstance(value, int | float) and math.isfinite(value)
                require(
                    good,
                    f"step {driver.steps} returns {name!r}: {value!r}; metrics are finite numbers by name, "
                    "because they are logged and drawn.",
                )


def option_weights_fit_the_choices(subject: Subject) -> None:
    """``option_weights`` returns a finite number per option, for choices of the space."""
    with scratch() as folder:
        driver = SearchDriver(subject, folder)
        options = {choice.name: choice.options for choice in driver.searcher.ctx.space.choices}
        while not driver.searcher.done and driver.steps < 3:
            driver.step()
            for name, values in driver.searcher.option_weights().items():
                require(
                    name in options, f"option_weights() has {name!r}, which is not a choice of the space."
                )
                require(
                    len(values) == len(options[name]) and all(math.isfinite(value) for value in values),
                    f"option_weights() gives {name!r} {list(values)!r}; a finite number for each of "
                    f"{', '.join(options[name])} is needed.",
                )


def search_ends(subject: Subject) -> None:
    """``done`` turns true, after ``total_steps`` steps where that is known."""
    with scratch() as folder:
        driver = SearchDriver(subject, folder)
        total = driver.searcher.total_steps
        require(
            not driver.searcher.done or total == 0,
            "'done' is true before the first step; there would be no search (or total_steps is 0).",
        )
        while not driver.searcher.done:
            require(
                driver.steps < (LIMIT if total is None else total),
                f"'done' is still false after {driver.steps} steps"
                + (
                    ". A search with the options of `tiny` must end soon."
                    if total is None
                    else f", and total_steps said {total}."
                ),
            )
            driver.step()
        require(
            total in (None, driver.steps),
            f"total_steps said {total}, but the search was done after {driver.steps} steps.",
        )


def seed_decides_everything(subject: Subject) -> None:
    """Two searches with one seed are the same, for any state of Python's own generator."""
    with scratch() as folder:
        states = []
        for _ in "ab":
            driver = SearchDriver(subject, folder)
            while not driver.searcher.done and driver.steps < 3:
                driver.step()
            states.append(driver.state())
        _same(
            states[0],
            states[1],
            "two searches with the same seed differ at",
            "Draw only from generators seeded with derive_seed(ctx.seed, …), or from torch's global one.",
        )


def searching_reads_no_test_images(subject: Subject) -> None:
    """A search reads no test images, and none that belong to the final training (law 6)."""
    with scratch() as folder:
        driver = SearchDriver(subject, folder)  # its data raises an error that names the split
        while not driver.searcher.done and driver.steps < STEPS:
            driver.step()
        needs_data = subject.plugin.requires("data")
        read = sum(driver.bench.batches_read.values())
        require(not needs_data or read, "the plugin says it needs data, but a search reads no image.")
        require(
            needs_data or not read,
            "a search reads images, but the plugin does not say that it needs data. Add 'data' to its needs: "
            "a recipe without a [data] table would pass its check and then fail.",
        )


def best_is_the_best_seen(subject: Subject) -> None:
    """A black-box searcher returns an architecture with the highest score it was told."""
    with scratch() as folder:
        driver = SearchDriver(subject, folder)
        if not isinstance(driver.searcher, AskTellSearcher):
            return
        history = driver.searcher.history
        while not driver.searcher.done and driver.steps < LIMIT:
            driver.step()
            require(
                len(history) == driver.steps,
                f"after {driver.steps} steps the history has {len(history)} entries.",
            )
            compared = driver.searcher.comparable()
            best = max(evaluation.score for evaluation in compared)
            winners = [evaluation.arch for evaluation in compared if evaluation.score == best]
            require(
                driver.searcher.best() in winners,
                f"after step {driver.steps}, best() has not the highest score ({best:.3f}).",
            )


def limits_are_kept(subject: Subject) -> None:
    """A black-box searcher proposes and returns nothing over a limit of the recipe."""
    with scratch() as folder:
        driver = SearchDriver(subject, folder)
        if not isinstance(driver.searcher, AskTellSearcher):
            return
        # Half of the architectures, by a number that has nothing to do with their scores.
        limits = Constraints(
            ConstraintsConfig(max_params=0.5),
            lambda arch: {"params": int(arch.key, 16) / 16 ** len(arch.key)},
        )
        driver.searcher.setup(replace(driver.searcher.ctx, constraints=limits))
        while not driver.searcher.done and driver.steps < LIMIT:
            driver.step()
            proposed = driver.searcher.history[-1].arch
            for arch in (proposed, driver.searcher.best(), *driver.searcher.front()):
                require(limits.allow(arch), f"step {driver.steps} proposes or returns {arch} over a limit.")


CHECKS: tuple[Rule, ...] = (
    resuming_equals_not_stopping,
    best_is_valid_after_every_step,
    metrics_are_numbers,
    option_weights_fit_the_choices,
    search_ends,
    seed_decides_everything,
    searching_reads_no_test_images,
    best_is_the_best_seen,
    limits_are_kept,
    searches_are_forecast,
)


def _same(a: object, b: object, what: str, advice: str = "") -> None:
    path = difference(a, b)
    fix = advice or "Put what is missing into state_dict() and restore it in load_state_dict()."
    require(not path, f"{what} {path}. {fix}")
