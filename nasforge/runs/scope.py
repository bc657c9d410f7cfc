"""Rights of components: what they may read and write in a stage of a run."""

from __future__ import annotations

from dataclasses import dataclass

from nasforge.data import Split

__all__ = ["DERIVE", "SEARCH", "TEST", "TRAIN", "Scope"]


@dataclass(frozen=True)
class Scope:
    """Rights of the components of one stage.

    Attributes:
        stage: Name of the stage, and of its folder.
        reads: Splits that components may read.
        stepped: Whether an engine counts the steps of the stage and logs their metrics. Otherwise components
            log epochs with ``ctx.record``.
        slots_of: Name of the stage whose folder holds the partial checkpoints; None for the stage itself.
    """

    stage: str
    reads: frozenset[Split] = frozenset()
    stepped: bool = False
    slots_of: str | None = None


# Rooms below the stages use these: workers and the conformance kit set up components, and a trained network
# is loaded from two folders. A stage that they do not know keeps its scope in its own file.

SEARCH = Scope("search", frozenset({"weights", "arch", "select"}), stepped=True)
"""Searcher, evaluator and distiller."""

DERIVE = Scope("derive")
"""No component takes part."""

TRAIN = Scope("train", frozenset({"weights", "arch", "select", "full", "holdout"}))
"""The trainer of the final network."""

TEST = Scope("test", frozenset({"test"}), slots_of=TRAIN.stage)
"""The same trainer, which finds its trained network in the slots of the training."""
