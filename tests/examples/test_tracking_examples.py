"""The observers for MLflow and Weights & Biases, each a file beside its recipe, against stores on disk."""

import importlib.util
import json
import sys
import time

import pytest

import nasforge
from nasforge.testing import checks_for
from support.environments import EXAMPLES

LIBRARIES = ("mlflow", "wandb")
WAIVED = "listing_is_light"  # observer and hook share one file, for a first try next to the recipe
FOUND = {"searcher": "random", "seed": 3, "score": 91.5, "notation": "conv", "metrics": {"params": 7}}


@pytest.fixture(autouse=True)
def local(monkeypatch, tmp_path):
    """Keep the libraries from the network, and from your own settings."""
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def source(library):
    return EXAMPLES / f"{library}_tracking" / f"{library}_tracking.py"


def load(library):
    pytest.importorskip(library, reason=f"{library} is not installed; it is too large for an extra")
    name = source(library).stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, source(library))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def observer(library, folder, **options):
    (plugin,) = load(library).nasforge_plugins()
    made = plugin.load()(plugin.config.model_validate(options))
    made.setup(folder)
    return made


def logged_by_mlflow(folder):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("nasforge")
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


def records(file):
    """Yield the records of a file of W&B: 7 bytes, then the format of LevelDB's logs."""
    data, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (rest := 32768 - at % 32768) < 7:  # no header is split between blocks
            at += rest
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def logged_by_wandb(folder):
    """Return ids, configuration, rows, summary and exit codes of all files, oldest first."""
    from wandb.proto.wandb_internal_pb2 import Record

    ids, config, rows, summary, exits = [], {}, [], {}, []
    for file in sorted(folder.rglob("run-*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        for data in records(file):
            record = Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                ids.append(record.run.run_id)
                config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif kind == "history":
                row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                rows.append({key: value for key, value in row.items() if not key.startswith("_")})
            elif kind == "summary":
                for item in record.summary.update:
                    summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
            elif kind == "exit":
                exits.append(record.exit.exit_code)
    return ids, config, rows, summary, exits


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_is_short(library):
    assert len(source(library).read_text("utf8").splitlines()) < 100


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_it_conforms(library, tmp_path):
    (plugin,) = load(library).nasforge_plugins()
    # One database for all checks: to create one takes MLflow seconds.
    options = {"uri": f"sqlite:///{tmp_path / 'mlflow.db'}"} if library == "mlflow" else {}
    checks = [check for check in checks_for(plugin, options=options) if check.name != WAIVED]
    assert len(checks) > 8
    for check in checks:
        check()


@pytest.mark.slow
def test_mlflow_has_options_metrics_and_architectures_of_a_run(tmp_path):
    load("mlflow")
    recipe = source("mlflow").with_name("recipe.toml")
    found = nasforge.run(recipe, ["run.threads=1"], profile="smoke", out=tmp_path)
    client, run = logged_by_mlflow(found.folder)
    assert (run.info.run_name, run.info.status) == ("mlflow-tracking", "FINISHED")
    assert run.data.params["searcher.evaluations"] == "2"
    assert run.data.metrics["test/accuracy"] == found.results["test"]["accuracy"]
    assert run.data.tags["search/architecture"]
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    rows = [json.loads(line) for line in (found.folder / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["stage"] == "train"]
    assert [loss.step for loss in losses] == [1, 2]
    assert [loss.value for loss in losses] == [row["loss"] for row in trained]


@pytest.mark.slow
def test_mlflow_continues_a_run_that_was_stopped(tmp_path):
    first = observer("mlflow", tmp_path)
    first.run_start("tiny", {"searcher": {"use": "random"}})
    first.step("search", 1, {"loss": 2.5}, "conv")
    first.close()
    assert logged_by_mlflow(tmp_path)[1].info.status == "KILLED"
    again = observer("mlflow", tmp_path)
    again.run_start("tiny", {"searcher": {"use": "random"}})
    again.step("search", 1, {"loss": 2.5}, "conv")  # repeated: the checkpoint after it was not written
    again.step("search", 2, {"loss": 1.5}, "skip")
    again.run_end({})
    again.close()
    client, run = logged_by_mlflow(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.tags["search/architecture"] == "skip"
    history = client.get_metric_history(run.info.run_id, "search/loss")
    assert [(m.step, m.value) for m in history] == [(1, 2.5), (2, 1.5)]


@pytest.mark.slow
def test_mlflow_has_the_runs_of_a_bench_by_seed(tmp_path):
    made = observer("mlflow", tmp_path)
    made.bench_start("versus", 0, 2)
    made.bench_run_end(1, 2, FOUND)
    made.bench_run_end(2, 2, {**FOUND, "seed": 4, "score": 92.5})
    made.bench_end([])
    made.close()
    client, run = logged_by_mlflow(tmp_path)
    assert (run.info.run_name, run.info.status) == ("versus", "FINISHED")
    scores = client.get_metric_history(run.info.run_id, "random/score")
    assert [(m.step, m.value) for m in scores] == [(3, 91.5), (4, 92.5)]
    assert run.data.metrics["random/params"] == 7


@pytest.mark.slow
def test_wandb_has_options_metrics_and_architectures_of_a_run(tmp_path):
    load("wandb")
    recipe = source("wandb").with_name("recipe.toml")
    found = nasforge.run(recipe, ["run.threads=1"], profile="smoke", out=tmp_path)
    _, config, rows, summary, exits = logged_by_wandb(found.folder)
    assert config["searcher"]["evaluations"] == 2
    assert summary["test/accuracy"] == found.results["test"]["accuracy"]
    assert [row["search/step"] for row in rows if "search/step" in row] == [1, 2]
    assert all(row["search/architecture"] for row in rows[:1])
    written = [json.loads(line) for line in (found.folder / "metrics.jsonl").read_text().splitlines()]
    trained = [row["loss"] for row in written if row["stage"] == "train"]
    assert [row["train/loss"] for row in rows if "train/loss" in row] == trained
    assert exits == [0]


@pytest.mark.slow
def test_wandb_continues_a_run_that_was_stopped(tmp_path):
    first = observer("wandb", tmp_path)
    first.run_start("tiny", {"searcher": {"use": "random"}})
    first.step("search", 1, {"loss": 2.5}, "conv")
    first.close()
    again = observer("wandb", tmp_path)
    again.run_start("tiny", {"searcher": {"use": "random"}})
    again.step("search", 2, {"loss": 1.5}, "conv")
    again.run_end({})
    again.close()
    deadline = time.monotonic() + 30
    while len(logged_by_wandb(tmp_path)[4]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)  # a process of W&B may write the end of a file after finish() has returned
    ids, _, rows, _, exits = logged_by_wandb(tmp_path)
    assert set(ids) == {(tmp_path / "wandb_run.txt").read_text("utf8")}
    assert [(row["search/step"], row["search/loss"]) for row in rows] == [(1, 2.5), (2, 1.5)]
    assert exits == [1, 0]


@pytest.mark.slow
def test_wandb_has_the_runs_of_a_bench_by_seed(tmp_path):
    made = observer("wandb", tmp_path)
    made.bench_start("versus", 0, 1)
    made.bench_run_end(1, 1, FOUND)
    made.bench_end([])
    made.close()
    rows = logged_by_wandb(tmp_path)[2]
    assert rows == [{"random/step": 3, "random/score": 91.5, "random/params": 7}]
