import sys

import pytest

from nasforge.errors import PluginError
from nasforge.plugins import Registry

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nasforge_plugins.observers.tensorboard.config import TensorBoardConfig
from nasforge_plugins.observers.tensorboard.observer import TensorBoard


def watched(folder):
    observer = TensorBoard(TensorBoardConfig())
    observer.setup(folder)
    return observer


def scalars(folder, tag):
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_a_scalar_per_metric_and_step(tmp_path):
    observer = watched(tmp_path)
    observer.step("search", 1, {"loss": 2.0, "params": 7}, "conv")
    observer.step("search", 2, {"loss": 1.0}, "conv")
    observer.step("train", 1, {"loss": 0.5}, None)
    observer.close()
    assert scalars(tmp_path / "tensorboard/search", "loss") == [(1, 2.0), (2, 1.0)]
    assert scalars(tmp_path / "tensorboard/search", "params") == [(1, 7.0)]
    assert scalars(tmp_path / "tensorboard/train", "loss") == [(1, 0.5)]


def test_the_architecture_is_written_when_it_changes(tmp_path):
    observer = watched(tmp_path)
    for step, arch in enumerate(["a", "a", "b"], 1):
        observer.step("search", step, {}, arch)
    observer.close()
    events = EventAccumulator(str(tmp_path / "tensorboard/search"))
    events.Reload()
    assert [event.step for event in events.Tensors("architecture/text_summary")] == [1, 3]


def test_repeated_steps_replace_earlier_ones(tmp_path):
    observer = watched(tmp_path)
    for step in (1, 2, 3):
        observer.step("train", step, {"loss": float(step)}, None)
    observer.close()
    again = watched(tmp_path)
    again.step("train", 3, {"loss": 33.0}, None)
    again.close()
    assert scalars(tmp_path / "tensorboard/train", "loss") == [(1, 1.0), (2, 2.0), (3, 33.0)]


def test_accuracies_of_the_test_and_scores_of_a_bench(tmp_path):
    observer = watched(tmp_path)
    observer.stage_end("test", {"accuracy": 90.0, "notation": "conv"}, False)
    observer.bench_run_end(1, 1, {"searcher": "random", "seed": 3, "score": 5.0})
    observer.close()
    assert scalars(tmp_path / "tensorboard/test", "accuracy") == [(0, 90.0)]
    assert scalars(tmp_path / "tensorboard/bench/random", "score") == [(3, 5.0)]


def test_without_the_library_the_message_has_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.delitem(sys.modules, "nasforge_plugins.observers.tensorboard.observer")
    with pytest.raises(PluginError, match=r"pip install 'nasforge\[tensorboard\]'"):
        Registry.discover().get("observer", "tensorboard").load()
