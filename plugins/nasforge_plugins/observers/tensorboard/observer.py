"""Write metrics as event files of TensorBoard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nasforge.component import Stage
from nasforge.observer import Observer
from nasforge_plugins.observers.tensorboard.config import TensorBoardConfig

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError as error:
    raise ImportError("TensorBoard is not installed. Run: pip install 'nasforge[tensorboard]'") from error

__all__ = ["TensorBoard"]


class TensorBoard(Observer[TensorBoardConfig]):
    """A folder of events per stage, with a scalar per metric and the architecture as text.

    Steps that are repeated after a restart replace the earlier ones. Look at them with
    ``tensorboard --logdir FOLDER``.
    """

    def __init__(self, config: TensorBoardConfig | None = None) -> None:
        super().__init__(config)
        self._writers: dict[str, Any] = {}
        self._archs: dict[str, str] = {}

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Write a finished step."""
        writer = self._writer(stage, step)
        for name, value in metrics.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, step)
        if arch is not None and self._archs.get(stage) != arch:
            self._archs[stage] = arch
            writer.add_text("architecture", f"`{arch}`", step)
        writer.flush()

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Write the accuracies of a stage that has no steps."""
        if skipped or stage in self._writers:
            return
        numbers = {k: v for k, v in result.items() if "accuracy" in k and isinstance(v, int | float)}
        for name, value in numbers.items():
            self._writer(stage, 0).add_scalar(name, value, 0)

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """Write the score of a run of a bench, by seed."""
        writer = self._writer(f"bench/{result['searcher']}", None)
        writer.add_scalar("score", float(result["score"]), int(result["seed"]))
        writer.flush()

    def close(self) -> None:
        """Write what is left, and close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, name: str, first: int | None) -> Any:
        """Return the writer of a stage; what earlier processes wrote from its first step on is hidden."""
        if name not in self._writers:
            place = re.sub(r"[^A-Za-z0-9_./-]|\.\.", "_", name)
            folder = self.folder / self.config.path / place
            self._writers[name] = SummaryWriter(str(folder), purge_step=first)
        return self._writers[name]
