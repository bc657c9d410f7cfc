"""Evaluations of candidates by workers, several at the same time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from nasforge.arch import Arch
from nasforge.errors import NasforgeError
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.parallel.crew import Connect, Crew, WorkItem
from nasforge.parallel.failures import AHEAD, ATTEMPTS, Failure, Tolerant, warn_retry
from nasforge.parallel.messages import Message, revive_error
from nasforge.training.stopping import Stopped, stop_requested

__all__ = ["Pool"]


class Pool(Tolerant):
    """Has candidates evaluated by workers, as soon as it expects them.

    Scores depend on seed and architecture alone: neither the order of evaluations nor the worker matters.

    Args:
        evaluator: The evaluator that workers have copies of; it prepares what they share.
        workers: Candidates evaluated at the same time. Workers start when there is work.
        connect: Starts a worker.
        log: Takes the rows that workers have for ``access.jsonl``.
        start_limit: Seconds in which a worker must have started.
    """

    def __init__(
        self,
        evaluator: Evaluator[Any],
        workers: int,
        connect: Connect,
        log: Callable[[Message], None],
        start_limit: float = math.inf,
    ) -> None:
        super().__init__(evaluator)
        self.workers = workers
        self._log = log
        self._tasks: dict[tuple[Arch, int | None, int], WorkItem] = {}
        self._awaited: WorkItem | None = None
        self._crew = Crew(
            workers,
            connect,
            attempts=ATTEMPTS,
            on_message=self._take_message,
            on_retry=_warn_retry,
            start_limit=start_limit,
        )

    def expect(self, arch: Arch, *, budget: int | None = None, repeat: int = 0) -> None:
        """Have a candidate evaluated as soon as a worker is free."""
        if (arch, budget, repeat) in self._tasks:
            return
        self.prepare()
        # Two budgets of one architecture share a slot, so they take turns: the key.
        message = {"arch": arch.to_json(), "budget": budget, "repeat": repeat}
        task = self._tasks[arch, budget, repeat] = WorkItem(message, key=arch.key)
        self._crew.submit(task)

    def attempt(self, arch: Arch, budget: int | None, index: int = 0) -> Evaluation | Failure:
        """Wait for a candidate; the others continue meanwhile.

        Raises:
            Stopped: A stop was requested. The state has the evaluations that are over.
        """
        self.expect(arch, budget=budget, repeat=index)
        self._awaited = task = self._tasks[arch, budget, index]
        while task.outcome is None:
            self._crew.wait()
            if task.outcome is None and (reason := stop_requested()):
                self._crew.stop(reason)
                raise Stopped(reason, within_step=True)
        del self._tasks[arch, budget, index]
        found = _outcome_of(task.outcome, task.seconds)
        if isinstance(found, NasforgeError):
            raise found
        return found

    def halt(self, reason: str) -> bool:
        """Wait until the workers have ended their evaluations or stopped at a batch, and end them."""
        self._crew.stop(reason)
        return bool(self._tasks)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the wrapped evaluator, and the evaluations that no step has asked for yet."""
        ahead = [
            {**task.content, "result": task.outcome["result"]}
            for task in self._tasks.values()
            if task.outcome is not None and "result" in task.outcome
        ]
        return {**super().state_dict(), **({AHEAD: ahead} if ahead else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        for (arch, budget, repeat), result in self.ahead.items():
            content = {"arch": arch.to_json(), "budget": budget, "repeat": repeat}
            outcome = {"result": result.to_json()}
            self._tasks[arch, budget, repeat] = WorkItem(content, arch.key, outcome=outcome)
        self.ahead = {}

    def close(self) -> None:
        """End all workers at once."""
        self._crew.close()

    def _take_message(self, task: WorkItem | None, worker: int, message: Message) -> None:
        if "access" in message:
            self._log({**message["access"], "worker": worker})
        elif "report" in message and task is self._awaited:
            self.ctx.report(message["report"])


def _outcome_of(message: Message, seconds: float) -> Evaluation | Failure | NasforgeError:
    """Turn the last message about a candidate into its evaluation, its failure, or an error to raise."""
    if "result" in message:
        return Evaluation.from_json(message["result"])
    return revive_error(message) if message["fatal"] else Failure(_one_line(message["error"]), seconds)


def _warn_retry(task: WorkItem, reason: str) -> None:
    warn_retry(str(task.key), _one_line(reason))


def _one_line(text: str) -> str:
    return " ".join(text.split())
