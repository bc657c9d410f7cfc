"""An observer in one file: runs and benches in MLflow."""

import json
import re
from typing import Annotated

from mlflow import MlflowClient
from mlflow.entities import Param
from pydantic import StringConstraints

from nasforge import Observer, Plugin, PluginConfig, hookimpl


class MlflowTrackingConfig(PluginConfig):
    uri: Annotated[str, StringConstraints(min_length=1)] = "mlflow.db"
    """A tracking URI, or an SQLite file; a relative path starts in the folder of the run or bench."""
    experiment: str = "nasforge"
    """Name of the experiment, which is created if it does not exist."""


class MlflowTracking(Observer[MlflowTrackingConfig]):
    """An MLflow run for each run or bench; one that continues continues its MLflow run."""

    def setup(self, folder):
        super().setup(folder)
        uri = self.config.uri
        if ":" not in uri:
            uri = f"sqlite:///{folder.resolve() / uri}"
        self.client = MlflowClient(uri)  # no global state: other code of the process may log elsewhere
        self.run, self.status, self.stages, self.steps = None, "KILLED", set(), {}

    def run_start(self, name, resolved):
        if self.begin(name):
            options = [Param(key, str(value)[:500]) for key, value in flat(resolved)]
            for first in range(0, len(options), 100):  # MLflow takes 100 at once
                self.client.log_batch(self.run, params=options[first : first + 100])

    def bench_start(self, name, done, total):
        self.begin(name)

    def step(self, stage, step, metrics, arch):
        self.stages.add(stage)
        self.log(stage, metrics, step)
        if arch is not None:
            self.client.set_tag(self.run, f"{stage}/architecture", arch)

    def stage_end(self, stage, result, skipped):
        if not skipped and stage not in self.stages:  # the test has no steps
            self.log(stage, {key: value for key, value in result.items() if "accuracy" in key}, 0)

    def bench_run_end(self, done, total, result):
        self.log(result["searcher"], {"score": result["score"], **result["metrics"]}, result["seed"])

    def run_end(self, result):
        self.status = "FINISHED"

    def bench_end(self, standings):
        self.status = "FINISHED"

    def close(self):
        if self.run is not None:
            self.client.set_terminated(self.run, self.status)

    def begin(self, name):
        """Continue the MLflow run noted in the folder, or create one; return whether it is new."""
        note = self.folder / "mlflow_run.json"
        if known := note.exists():
            self.run = json.loads(note.read_text("utf8"))["run_id"]
            self.client.update_run(self.run, status="RUNNING")
        else:
            found = self.client.get_experiment_by_name(self.config.experiment)
            number = found.experiment_id if found else self.client.create_experiment(self.config.experiment)
            self.run = self.client.create_run(number, run_name=name).info.run_id
            note.write_text(json.dumps({"run_id": self.run}), "utf8")
        return not known

    def log(self, group, values, step):
        for key, value in values.items():
            if isinstance(value, int | float):
                name = re.sub(r"[^\w./ -]", "_", f"{group}/{key}")  # the characters that MLflow allows
                if name not in self.steps:
                    self.steps[name] = {m.step for m in self.client.get_metric_history(self.run, name)}
                if step not in self.steps[name]:  # one that is repeated after a restart is there already
                    self.client.log_metric(self.run, name, value, step=step)


def flat(table, at=""):
    """Yield the options of a recipe by dotted name."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


@hookimpl
def nasforge_plugins():
    target, summary = f"{__name__}:MlflowTracking", "Logs runs and benches to MLflow"
    return [Plugin("observer", "mlflow-tracking", target, MlflowTrackingConfig, summary, api=1)]
