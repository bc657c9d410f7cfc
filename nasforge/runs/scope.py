"""Rights of components: what they may read and write in a stage of a run."""

from __future__ import annotations

from dataclasses import dataclass

from nasforge.data import Split
from nasforge.errors import AccessError

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

    def __post_init__(self) -> None:
        """Refuse the test images to a stage in which something is chosen by them.

        Raises:
            AccessError: The stage is neither the test stage nor the export after it.
        """
        if "test" in self.reads and self.stage not in ("test", "export"):
            raise AccessError(
                f"scope of the {self.stage} stage: it has the split 'test'. The test images are for the test "
                "stage, and the export after it. Take it out of `reads`."
            )


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
