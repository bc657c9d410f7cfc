"""The search stage: runs the searcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nasforge.component import Work
from nasforge.confirm import ConfirmedSearcher
from nasforge.errors import RunError
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import CHOICES, TRAJECTORY, inputs_of
from nasforge.runs.scope import SEARCH
from nasforge.runs.stored import Picks, StageResult
from nasforge.searcher import AskTellSearcher, Searcher
from nasforge.stages.stage import Stage

if TYPE_CHECKING:
    from nasforge.stages.runner import Run
    from nasforge.stages.trial import TrialRun

__all__ = ["Search"]


CHECKPOINT = "checkpoint.safetensors"
"""File with the state after the last step."""


class SearchResult(StageResult):
    """The entries that are read from the result of a search."""

    steps: int
    architecture: Picks
    front: list[Picks]
    searcher: dict[str, Any] | None = None
    evaluator: dict[str, Any] | None = None


class Search(Stage):
    """Finds an architecture, and a Pareto front if the search has several objectives."""

    scope = SEARCH
    shape = SearchResult
    compared = True
    shared = True

    def inputs(self, run: Run) -> dict[str, Any]:
        """Return the tables of all components of the search, and checksums of files that they name."""
        from nasforge.runs.limits import fingerprint_of

        names = ("data", "space", "searcher", "distiller", "evaluator")
        files = {
            table: dict(found)
            for table, part in run.recipe.parts.items()
            if table.partition(".")[0] in names and (found := part.config.file_checksums())
        }
        tables = inputs_of(run.resolved, *names) | ({"files": files} if files else {})
        return tables | fingerprint_of(run.recipe.constraints)

    def check(self, run: Run) -> None:
        """Refuse limits that no architecture can keep, and workers that cannot start."""
        from nasforge.parallel.start import check_start
        from nasforge.runs.limits import refuse_impossible

        check_start(run.recipe.run)
        refuse_impossible(run.recipe, run.constraints, run.space, run.task)

    def run(self, run: Run, clock: StageClock) -> dict[str, Any]:
        """Step the searcher until it is done."""
        from nasforge.parallel.start import evaluating
        from nasforge.stages.engine import Engine
        from nasforge.stages.trajectory import Trajectory

        with ExitStack() as stack:
            searcher, evaluator = run.assemble(
                lambda one: stack.enter_context(evaluating(one, run.recipe.run, run.folder, run.runtime))
            )
            choices = [asdict(choice) for choice in run.space.choices]
            run.folder.store_file(self.name, CHOICES, {"choices": choices})
            trajectory = Trajectory(run.folder.log(f"{self.name}/{TRAJECTORY}"))
            path = run.folder.stage(self.name) / CHECKPOINT
            metrics = run.folder.metrics
            engine = Engine(self.name, searcher, evaluator, path, metrics, trajectory, run.observer, clock)
            engine.run()
        failed = _failures(searcher)
        front = [arch.to_json() for arch in searcher.front()]
        result = {"steps": engine.steps, "architecture": searcher.best().to_json(), "front": front}
        if failed:
            result["failed"] = failed
        if remarks := searcher.summary():
            result["searcher"] = dict(remarks)
        if evaluator is not None and (summary := evaluator.summary()):
            result["evaluator"] = dict(summary)
        return result

    def workload(self, trial: TrialRun) -> Sequence[Work] | None:
        """Return the work of the searcher, and a checkpoint per step."""
        from nasforge.runtime import checkpoint
        from nasforge.stages.engine import describe_state, restore_state

        searcher, evaluator = trial.assemble()
        state = checkpoint.load(trial.origin / self.name / CHECKPOINT)
        made = 0 if state is None else restore_state(state, searcher, evaluator)
        works, steps = searcher.workload(), searcher.total_steps
        if works is not None and not works:
            trial.found = searcher.best()  # known beforehand
        if not works or steps is None:
            return works
        path = trial.folder.stage(self.name) / CHECKPOINT

        def save() -> None:
            checkpoint.save(path, describe_state(made, searcher, evaluator))

        return [*works, Work("checkpoints of the search", max(0, steps - made), save, writes=True)]


def _failures(searcher: Searcher[Any]) -> list[Mapping[str, Any]]:
    if isinstance(searcher, ConfirmedSearcher):
        searcher = searcher.inner
    history = searcher.history if isinstance(searcher, AskTellSearcher) else []
    failed = [e for e in history if e.failed]
    if failed and len(failed) == len(history):
        raise RunError(f"{SEARCH.stage}: no candidate could be evaluated. The last one: {failed[-1].failed}")
    space = searcher.ctx.space
    return [
        {"architecture": e.arch.to_json(), "notation": space.notation(e.arch), "reason": e.failed}
        for e in failed
    ]
