"""The contract of a stage.

Stages import torch when they run, so that commands which only read results start at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasforge.data import Split
from nasforge.runs.clock import StageClock
from nasforge.runs.scope import Scope
from nasforge.runs.stored import StageResult

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nasforge.component import Work
    from nasforge.stages.runner import Run
    from nasforge.stages.trial import TrialRun

__all__ = ["Stage"]


class Stage(ABC):
    """A part of a run that has a folder and a result of its own.

    Stages meet through results and files, so each can be skipped, repeated or resumed. A finished stage is
    skipped as long as its `inputs` stay the same.
    """

    scope: Scope
    """Name of the stage, and rights of its components."""

    shape: type[BaseModel] = StageResult
    """Entries that a stored result must have, because later stages and commands read them."""

    compared: bool = False
    """Whether a run needs the result of this stage to be compared with others; see `numbers`."""

    shared: bool = False
    """Whether all processes of a run do this stage together. Others are done by rank 0, which then has all
    shards."""

    @property
    def name(self) -> str:
        """Name of the stage: its folder, and what observers, logs and results call it."""
        return self.scope.stage

    @property
    def reads(self) -> frozenset[Split]:
        """Splits that components may read in this stage."""
        return self.scope.reads

    def needed(self, tables: Collection[str]) -> bool:
        """Return whether a recipe has this stage. Default: every recipe has it.

        Args:
            tables: Names of the tables of the recipe.
        """
        return True

    @abstractmethod
    def inputs(self, run: Run) -> Mapping[str, Any]:
        """Return everything that the result depends on, as JSON data. Its fingerprint is stored.

        Args:
            run: The run, with the results of earlier stages.
        """

    def check(self, run: Run) -> None:  # noqa: B027 - optional
        """Refuse a stage that cannot succeed, before any of its files is written. Default: accept.

        Args:
            run: The run, with the results of earlier stages.

        Raises:
            NasforgeError: The stage cannot succeed.
        """

    @abstractmethod
    def run(self, run: Run, clock: StageClock) -> Mapping[str, Any]:
        """Do the stage and return its result, as JSON data.

        Args:
            run: The run, with the results of earlier stages.
            clock: Seconds of this stage so far. Save it with every partial checkpoint.
        """

    def verify(self, result: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """Raise for a result that is an error although it is stored. Default: accept.

        Called at the end of a run, when all other results and the report are written.

        Args:
            result: The stored result of this stage.

        Raises:
            NasforgeError: The result is an error.
        """

    def workload(self, trial: TrialRun) -> Sequence[Work] | None:
        """Return the work of this stage, for the forecast of a run; None if it is unknown.

        Default: none, for stages that take seconds.

        Args:
            trial: A copy of the run that is thrown away. Its ``results`` have the stages that are finished.
        """
        return ()

    def numbers(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return values by which runs are compared. Default: none.

        Args:
            result: The stored result of this stage.
        """
        return {}
