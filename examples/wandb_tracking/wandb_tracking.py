"""An observer in one file: runs and benches in Weights & Biases."""

import time
from pathlib import Path
from typing import Literal
from uuid import uuid4

import wandb

from nasforge import Observer, Plugin, PluginConfig, hookimpl


class WandbTrackingConfig(PluginConfig):
    project: str = "nasforge"
    """Name of the project."""
    mode: Literal["offline", "online"] = "offline"
    """Whether to write files, for `wandb sync`, or to send them at once, which needs `wandb login`."""
    path: Path = Path()
    """Where the folder `wandb` is made; a relative path starts in the folder of the run or bench."""


class WandbTracking(Observer[WandbTrackingConfig]):
    """A W&B run for each run or bench; one that continues has the id of its W&B run."""

    def setup(self, folder):
        super().setup(folder)
        self.run, self.finished, self.shown = None, False, {}

    def run_start(self, name, resolved):
        self.begin(name, resolved)

    def bench_start(self, name, done, total):
        self.begin(name, {"runs": total})

    def step(self, stage, step, metrics, arch):
        values = {key: value for key, value in metrics.items() if isinstance(value, int | float)}
        if arch is not None and self.shown.get(stage) != arch:
            self.shown[stage] = values["architecture"] = arch
        self.log(stage, {"step": step, **values})

    def stage_end(self, stage, result, skipped):
        if not skipped:
            found = {key: value for key, value in result.items() if "accuracy" in key}
            self.run.summary.update({f"{stage}/{key}": value for key, value in found.items()})

    def bench_run_end(self, done, total, result):
        self.log(result["searcher"], {"step": result["seed"], "score": result["score"], **result["metrics"]})

    def run_end(self, result):
        self.finished = True

    def bench_end(self, standings):
        self.finished = True

    def close(self):
        if self.run is not None:
            self.run.finish(exit_code=0 if self.finished else 1)

    def begin(self, name, config):
        """Continue the W&B run whose id is noted in the folder, or begin one."""
        note = self.folder / "wandb_run.txt"
        if not note.exists():
            note.write_text(uuid4().hex[:8], "utf8")
        place = self.folder / self.config.path
        place.mkdir(parents=True, exist_ok=True)
        number = note.read_text("utf8")
        while any(place.glob(f"wandb/*run-{time.strftime('%Y%m%d_%H%M%S')}-{number}")):
            time.sleep(0.1)  # W&B names folders by second and id: one of this second would be replaced
        self.run = wandb.init(
            project=self.config.project,
            name=name,
            id=number,
            resume="allow" if self.config.mode == "online" else None,  # offline, W&B merges by id in the sync
            config=dict(config),
            dir=place,
            mode=self.config.mode,
            # Not the output, the code or the machine: an observer keeps to what it is given.
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True
            ),
        )

    def log(self, group, values):
        # W&B counts the calls of log and wants no step twice, so each group has a step of its own.
        self.run.define_metric(f"{group}/*", step_metric=f"{group}/step")
        self.run.log({f"{group}/{key}": value for key, value in values.items()})


@hookimpl
def nasforge_plugins():
    target, summary = f"{__name__}:WandbTracking", "Logs runs and benches to Weights & Biases"
    return [Plugin("observer", "wandb-tracking", target, WandbTrackingConfig, summary, api=1)]
