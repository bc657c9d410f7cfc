"""How many proposals a searcher makes before it knows the results of the first."""

from __future__ import annotations

from typing import Literal

from nasforge.component import Context

__all__ = ["choose_batch"]


def choose_batch(batch: int | Literal["workers"], ctx: Context) -> int:
    """Return the number of proposals that are evaluated at the same time, for `setup` of a searcher.

    A searcher saves it with its state, so that it stays when the search goes on with other workers.

    Args:
        batch: The number, or "workers" for two for each worker. Results are told in order: while a slow one
            is waited for, the other workers need work.
        ctx: Has the evaluator, which knows the number of workers.
    """
    if batch != "workers":
        return batch
    workers = ctx.evaluator.workers if ctx.evaluator else 1
    return 1 if workers == 1 else 2 * workers
