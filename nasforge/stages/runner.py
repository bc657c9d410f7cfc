"""Run the stages of a recipe in order, and skip the finished ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from nasforge.arch import Arch
from nasforge.data import DataModule, reading_only
from nasforge.errors import ArchError, CheckpointError
from nasforge.observer import Observer
from nasforge.recipe import Recipe
from nasforge.runs.assembly import Assembly
from nasforge.runs.classes import check_classes
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import RunFolder, fingerprint
from nasforge.runs.out_of_memory import explaining_out_of_memory
from nasforge.runs.scope import DERIVE
from nasforge.runtime import Runtime
from nasforge.stages import STAGES
from nasforge.stages.stage import Stage
from nasforge.training.stopping import check_stop

__all__ = ["Run", "run_stages"]


class Run(Assembly):
    """One run: its components, and the results of its stages so far.

    Args:
        recipe: The recipe of the run.
        folder: Holds all files of the run.
        runtime: Device and precision.
        observer: Receives every event.

    Attributes:
        results: Results of finished stages, by name and in order.
        skipped: Names of stages that an earlier process had finished.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, runtime: Runtime, observer: Observer[Any]) -> None:
        super().__init__(recipe, folder, runtime, observer)
        self.results: dict[str, dict[str, Any]] = {}
        self.skipped: list[str] = []

    @cached_property
    def data(self) -> DataModule[Any]:
        """The images, with the classes that the run began with."""
        data = super().data
        check_classes(self.folder, self.resolved["data"], data.class_names)
        return data


def run_stages(
    run: Run,
    stages: Sequence[Stage] = STAGES,
    announce: Callable[[Run, Stage], None] = lambda run, stage: None,
) -> dict[str, dict[str, Any]]:
    """Run every stage that the recipe has. A finished stage whose inputs are unchanged is skipped.

    Args:
        run: The run. Its ``results`` and ``skipped`` are filled.
        stages: The stages, in order.
        announce: Called before each stage that is not skipped.

    Returns:
        The results by name of the stage.

    Raises:
        Stopped: A stop was requested; everything is saved.
    """
    for stage in stages:
        if stage.needed({*run.recipe.parts, *run.resolved}):
            check_stop()
            run.results[stage.name] = _result(stage, run, announce)
    return run.results


def _check_architecture(run: Run, name: str, result: Mapping[str, Any]) -> None:
    """Check that a stored architecture belongs to the space: results may have been damaged."""
    try:
        for picks in (result.get("architecture"), *(result.get("front") or ())):
            if picks is not None:
                run.space.validate(Arch(picks))
    except ArchError as error:
        path = run.folder.stage(name) / "result.json"
        raise CheckpointError(f"{path}: {error} Delete it to do its stage again.") from None


def _result(stage: Stage, run: Run, announce: Callable[[Run, Stage], None]) -> dict[str, Any]:
    folder, observer, name = run.folder, run.observer, stage.name
    shards = run.runtime.shards
    mark = fingerprint(stage.inputs(run))
    if (done := shards.from_main(lambda: folder.result(name, mark, stage.shape))) is not None:
        _check_architecture(run, name, done)
        run.skipped.append(name)
        observer.stage_end(name, done, True)
        return done
    stage.check(run)
    done_before = shards.from_main(lambda: folder.begin(name, mark))
    announce(run, stage)
    clock = StageClock(folder.stage(name) / "clock.json", folder.writes)
    if not stage.scope.stepped:  # an engine announces the stage itself, with its number of steps
        observer.stage_start(name, done_before, None)
    derived = run.results.get(DERIVE.stage, {}).get("architecture")
    found = Arch(derived) if derived else None
    with explaining_out_of_memory(run, stage.scope, found), reading_only(name, stage.reads):
        alone = not stage.shared
        result = shards.from_main(lambda: dict(stage.run(run, clock))) if alone else stage.run(run, clock)
    stored = {"stage": name, **result, "seconds": round(clock.seconds(), 3), "fingerprint": mark}
    stored = shards.agreed(stored)
    folder.store(name, stored)
    shards.wait()
    observer.stage_end(name, stored, False)
    return stored
