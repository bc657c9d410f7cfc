"""Checks of evaluators."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from random import Random

import torch

from nasforge.arch import Arch
from nasforge.data import Split
from nasforge.errors import AccessError, NasforgeError
from nasforge.evaluator import Evaluation, RepeatedTraining
from nasforge.recipe.objectives import reported
from nasforge.runs.scope import SEARCH, TEST, TRAIN
from nasforge.testing.common import Rule, Subject, difference, require, scratch
from nasforge.testing.forecasts import evaluations_are_forecast
from nasforge.testing.workbench import Killed, Workbench

__all__ = ["CHECKS", "REPEAT_CHECKS"]

MAX_KILLS = 4
"""After how many different saves an evaluation is killed."""


def evaluations_are_complete(subject: Subject) -> None:
    """An evaluation names its architecture, and its numbers are finite."""
    for scope in (SEARCH, TRAIN):
        with scratch() as folder:
            bench = Workbench(subject, folder)
            evaluator, arch = bench.evaluator(scope), _arch(bench)
            result = evaluator.evaluate(arch)
            require(
                isinstance(result, Evaluation), f"evaluate() returns {type(result).__name__}, not Evaluation."
            )
            require(result.arch == arch, "evaluate() returns the evaluation of another architecture.")
            require(
                isinstance(result.score, float) and math.isfinite(result.score),
                f"the score is {result.score!r}; it is a finite float, higher is better.",
            )
            require(
                math.isfinite(result.cost) and result.cost >= 0,
                f"the cost is {result.cost!r}; it is seconds, 0 or more.",
            )
            _finite(result.metrics, "metrics")
            again = Evaluation.from_json(json.loads(json.dumps(result.to_json())))
            require(
                again == result, "the evaluation is another one after JSON; metrics must be plain numbers."
            )


def metrics_are_those_announced(subject: Subject) -> None:
    """If the options say by ``reports`` which metrics evaluations have, they have these and no others."""
    announced = _announced(subject)
    if announced is None:
        return
    found = _metrics(subject)
    # Metrics may be named after the split that is scored, and which one that is, the images decide.
    splits: tuple[Split, ...] = ("select", "arch")
    for split in splits:
        if not announced <= found:
            with suppress(Exception):  # it may be one that cannot do without
                found |= _metrics(subject, split)
    require(
        announced <= found,
        f"reports() names {_named(announced - found)}, which no evaluation has. A search with that objective "
        "would stop at its first evaluation: leave the name out.",
    )
    require(
        found <= announced,
        f"an evaluation has {_named(found - announced)}, which reports() does not name. A recipe with that "
        "objective would be refused: add the name.",
    )


def seed_decides_the_score(subject: Subject) -> None:
    """The score depends on seed and architecture alone, not on what was evaluated before."""
    scores = []
    for before in (0, 0, 2):
        with scratch() as folder:
            bench = Workbench(subject, folder)
            evaluator, arch = bench.evaluator(SEARCH), _arch(bench)
            random.seed()
            rng = Random(1)
            for _ in range(before):
                evaluator.evaluate(evaluator.ctx.space.mutate(arch, rng))
            scores.append(evaluator.evaluate(arch).score)
    require(
        scores[0] == scores[1],
        f"two evaluations with the same seed give {scores[0]} and {scores[1]}. Draw only from generators "
        "seeded with derive_seed(ctx.seed, arch.key, …).",
    )
    require(
        scores[0] == scores[2],
        f"the score is {scores[0]} when evaluated first and {scores[2]} after two others; a resumed search "
        "would see other scores. Seed everything by arch.key.",
    )


def budget_is_respected(subject: Subject) -> None:
    """A larger budget reads more images, or an impossible one is refused with a clear error."""
    read = []
    for budget in (1, 2):
        with scratch() as folder:
            bench = Workbench(subject, folder)
            evaluator = bench.evaluator(SEARCH)
            try:
                evaluator.evaluate(_arch(bench), budget=budget)
            except NasforgeError as error:
                require(str(error), "a refused budget needs a message.")
                return
            read.append(sum(bench.batches_read[s] for s in ("weights", "arch", "full")))
    require(
        not any(read) or read[0] < read[1],
        f"budget 1 reads {read[0]} batches and budget 2 reads {read[1]}: the budget has no effect. "
        "A search that spends little on bad architectures relies on it.",
    )


def killed_evaluations_resume(subject: Subject) -> None:
    """After a kill in the middle, evaluation resumes from its slot and ends with the same score."""
    with scratch() as folder:
        bench = Workbench(subject, folder)
        evaluator, arch = bench.evaluator(SEARCH), _arch(bench)
        straight = evaluator.evaluate(arch)
        saves, whole = bench.saves, sum(bench.batches_read.values())
    for kill in range(1, min(saves, MAX_KILLS) + 1):
        with scratch() as folder:
            bench = Workbench(subject, folder)
            bench.die_at_save = kill
            with suppress(Killed):
                bench.evaluator(SEARCH).evaluate(arch)
            bench.die_at_save = 0
            bench.batches_read.clear()
            resumed = bench.evaluator(SEARCH).evaluate(arch)
            require(
                resumed.score == straight.score and _rest(resumed) == _rest(straight),
                f"killed after save {kill} of {saves} and resumed, the score is {resumed.score} instead of "
                f"{straight.score}. Save network, optimiser, epoch and generators in ctx.slot(arch.key).",
            )
            read = sum(bench.batches_read.values())
            require(
                read < whole or not whole,
                f"killed after save {kill} of {saves}, the evaluation starts anew (it reads {read} batches, "
                f"a whole one {whole}): it saves in its slot, but does not load it.",
            )


def evaluating_reads_no_test_images(subject: Subject) -> None:
    """``evaluate`` never reads the test split, in a search or in the final training (law 6)."""
    for scope in (SEARCH, TRAIN):
        with scratch() as folder:
            bench = Workbench(subject, folder)
            bench.evaluator(scope).evaluate(_arch(bench))  # the data raises an error that names the split


def testing_reads_nothing_else(subject: Subject) -> None:
    """``test`` works in a fresh process after the final training, and reads only the test split."""
    with scratch() as folder:
        bench = Workbench(subject, folder)
        arch = _arch(bench)
        bench.evaluator(TRAIN).evaluate(arch)
        bench.batches_read.clear()
        try:
            metrics = bench.evaluator(TEST).test(arch)
        except (NotImplementedError, NasforgeError) as error:
            require(
                not isinstance(error, AccessError),
                f"test() reads other images than the test split: {error}",
            )
            require(str(error), "an evaluator that cannot test says why.")
            return
        _finite(metrics, "what test() returns")
        require(metrics, "test() returns no metric.")


def state_is_restored(subject: Subject) -> None:
    """State saved after an evaluation is the same after loading it in a fresh process."""
    from nasforge.testing.workbench import through_disk

    with scratch() as folder:
        bench = Workbench(subject, folder)
        evaluator = bench.evaluator(SEARCH)
        evaluator.evaluate(_arch(bench))
        state = through_disk(evaluator.state_dict(), folder)
        fresh = bench.evaluator(SEARCH)
        fresh.load_state_dict(state)
        path = difference(state, through_disk(fresh.state_dict(), folder))
        require(not path, f"after saving and loading, the state differs at {path}.")


def repetitions_are_draws_of_their_own(subject: Subject) -> None:
    """``repeat`` 0 is ``evaluate``; others differ from it, and do not depend on earlier evaluations."""
    scores: dict[tuple[int, int], float] = {}
    for before in (0, 1):
        for index in (0, 1, 2):
            with scratch() as folder:
                bench = Workbench(subject, folder)
                evaluator, arch = bench.evaluator(SEARCH), _arch(bench)
                assert isinstance(evaluator, RepeatedTraining), "checked when the plugin is loaded"
                for earlier in range(before * 3):
                    evaluator.repeat(arch, earlier)
                scores[index, before] = evaluator.repeat(arch, index).score
                if not index:
                    whole = bench.evaluator(SEARCH).evaluate(arch).score
    require(
        scores[0, 0] == whole,
        f"repeat(arch, 0) gives {scores[0, 0]}, evaluate(arch) gives {whole}. They are the same thing.",
    )
    for index in (0, 1, 2):
        require(
            scores[index, 0] == scores[index, 1],
            f"repetition {index} gives {scores[index, 0]} when made first and {scores[index, 1]} later. Seed "
            "it by its index, and give it a slot of its own.",
        )
    require(
        len({score for (_, before), score in scores.items() if not before}) > 1,
        f"all repetitions give {scores[0, 0]}: a paired test over them would find no noise at all. Seed "
        "each by its index.",
    )


CHECKS: tuple[Rule, ...] = (
    evaluations_are_complete,
    metrics_are_those_announced,
    seed_decides_the_score,
    budget_is_respected,
    killed_evaluations_resume,
    evaluating_reads_no_test_images,
    testing_reads_nothing_else,
    state_is_restored,
    evaluations_are_forecast,
)

REPEAT_CHECKS: tuple[Rule, ...] = (repetitions_are_draws_of_their_own,)


def _arch(bench: Workbench) -> Arch:
    return bench.subject.partners.space().sample(Random(0))


def _announced(subject: Subject) -> frozenset[str] | None:
    """Return what the options of the evaluator, and of the one it builds on, say that it reports."""
    configs = [subject.plugin.config(**subject.options)]
    if subject.plugin.requires("evaluator"):
        configs.append(subject.partners.evaluator().config)
    return reported(*configs)


def _metrics(subject: Subject, without: Split | None = None) -> frozenset[str]:
    """Return the metrics of an evaluation, as it is where a split has no images."""
    with scratch() as folder:
        bench = Workbench(subject, folder)
        bench.without = without
        return frozenset(bench.evaluator(SEARCH).evaluate(_arch(bench)).metrics)


def _named(metrics: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(metrics)))


def _rest(result: Evaluation) -> dict[str, float]:
    """Return the metrics that no clock enters."""
    return {k: v for k, v in result.metrics.items() if not any(w in k for w in ("second", "time", "latency"))}


def _finite(metrics: Mapping[str, float], what: str) -> None:
    for name, value in metrics.items():
        number = value.item() if isinstance(value, torch.Tensor) else value
        require(
            isinstance(value, int | float) and math.isfinite(number),
            f"{what}: {name!r} is {value!r}; plain, finite numbers only.",
        )
