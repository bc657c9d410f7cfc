"""Stages of a run. `STAGES` lists them; nothing else does."""

from nasforge.stages.derive import Derive
from nasforge.stages.export import Export
from nasforge.stages.search import Search
from nasforge.stages.stage import Stage
from nasforge.stages.test import Test
from nasforge.stages.train import Train

__all__ = ["STAGES", "Stage"]

STAGES: tuple[Stage, ...] = (Search(), Derive(), Train(), Test(), Export())
