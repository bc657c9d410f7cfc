from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import RecipeError, RunError
from nasforge.space import Task
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.evaluator import Trainer
from support.tiny_training import ARCH, Interrupted, TinyData, TinyNetwork, TinySpace, context

OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 8, "lr": 0.1, "init": "runs/x"}


def run(task: Task, arch: Arch = ARCH) -> Callable[[str], nn.Module]:
    """Stand in for a finished run."""

    def load_network(folder: str) -> nn.Module:
        if folder != "runs/x":
            raise RunError(f"{folder}: holds no trained network yet. Finish it: nasforge run {folder}.")
        torch.manual_seed(5)
        return TinyNetwork(TinySpace(PluginConfig()).choices[0], task, arch)

    return load_network


def trainer(folder: Path, data: TinyData | None = None, options: Any = (), **parts: Any) -> Trainer:
    train = Trainer(TrainConfig(**{**OPTIONS, **dict(options)}))
    train.setup(context(folder, data, **{"load_network": run(Task(3, 8, 3)), **parts}))
    return train


def weights_after(folder: Path, options: Any, **parts: Any) -> dict[str, Any]:
    train = trainer(folder, options={"epochs": 1, "lr": 1e-30, "weight_decay": 0.0, **options}, **parts)
    train.evaluate(ARCH)
    return train.network(ARCH).state_dict()


def test_a_training_starts_from_the_weights_of_the_run(tmp_path: Path) -> None:
    found = weights_after(tmp_path, {})
    source = run(Task(3, 8, 3))("runs/x")
    for name, value in source.named_parameters():
        torch.testing.assert_close(found[name], value.detach(), rtol=0, atol=1e-20)


def test_another_number_of_classes_gets_a_new_classifier(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"knows 7 classes, the images have 3.*head.weight, head.bias.*anew"):
        found = weights_after(tmp_path / "seven", {}, load_network=run(Task(3, 8, 7)))
    source = run(Task(3, 8, 7))("runs/x")
    anew = weights_after(tmp_path / "none", {"init": ""})
    for name, value in source.named_parameters():
        expected = anew[name] if name.startswith("head") else value
        torch.testing.assert_close(found[name], expected.detach(), rtol=0, atol=1e-20)


def test_a_killed_training_does_not_start_from_the_run_again(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole").evaluate(ARCH)
    with pytest.raises(Interrupted):
        trainer(tmp_path / "parts", TinyData(fail=(1, 2))).evaluate(ARCH)
    resumed = trainer(tmp_path / "parts", options={})
    parts = resumed.evaluate(ARCH)
    assert parts.metrics == whole.metrics
    anew = trainer(tmp_path / "anew", options={"init": ""}).evaluate(ARCH)
    assert anew.metrics["train_loss"] != whole.metrics["train_loss"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (run(Task(3, 8, 3), Arch({"layer": "skip"})), "trained another architecture: it lacks 'layer"),
        (run(Task(1, 8, 3)), r"reads images of 1 channel\(s\), these images have 3"),
        (lambda folder: run(Task(3, 8, 3))("runs/y"), "init: runs/y: holds no trained network yet"),
    ],
    ids=["architecture", "channels", "untrained"],
)
def test_a_run_that_does_not_fit_is_an_error(tmp_path: Path, source: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        trainer(tmp_path, load_network=source).evaluate(ARCH)


def test_a_network_of_other_sizes_is_an_error(tmp_path: Path) -> None:
    def wide(folder: str) -> nn.Module:
        network = run(Task(3, 8, 3))(folder)
        network.stem = nn.Conv2d(3, 9, 3, padding=1, bias=False)
        network.head = nn.Linear(9, 3)
        network.forward = lambda x: type("Out", (), {"logits": torch.zeros(1, 3)})()  # type: ignore[method-assign]
        return network

    with pytest.raises(
        RunError, match=r"other sizes: 'stem.weight' is 9 x 3 x 3 x 3 there and 6 x 3 x 3 x 3 here"
    ):
        trainer(tmp_path, load_network=wide).evaluate(ARCH)


def test_a_search_takes_no_weights(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"evaluator.init: 'runs/x'.*Write it below \[train\]"):
        trainer(tmp_path, stage="search")
