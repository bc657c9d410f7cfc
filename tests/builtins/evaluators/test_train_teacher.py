from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasforge.config import PluginConfig
from nasforge.distiller import Distiller
from nasforge.errors import RecipeError, RunError
from nasforge.nn import Output
from nasforge.space import Task
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.evaluator import Trainer
from support.tiny_training import ARCH, TinySpace, context

OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 8, "lr": 0.1}


def trainer(folder: Path, options: Any = (), **parts: Any) -> Trainer:
    train = Trainer(TrainConfig(**{**OPTIONS, **dict(options)}))
    train.setup(context(folder, **{"load_network": load_network, **parts}))
    return train


class Match(Distiller[PluginConfig]):
    def bind(self, student: Any, teacher: Any, task: Task) -> None:
        self.head = nn.Linear(task.num_classes, task.num_classes)

    def forward(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        assert not teacher.logits.requires_grad
        return (self.head(student.logits) - teacher.logits).square().mean()


def load_network(path: str) -> nn.Module:
    """Stands in for finished runs: folder ``runs/3`` holds a network of three classes."""
    if "/" not in path:
        raise RunError(f"{path}: is not a run folder.")
    torch.manual_seed(9)
    return TinySpace(PluginConfig()).build(Task(3, 8, int(path[-1])), ARCH)


def test_a_teacher_changes_the_student_and_not_itself(tmp_path: Path) -> None:
    options = {"teacher": "runs/3", "distill_weight": 0.9}
    distiller = Match(PluginConfig())
    taught = trainer(tmp_path / "taught", options=options, distiller=distiller)
    teacher = taught._teacher
    assert teacher is not None
    before = {n: t.clone() for n, t in teacher.state_dict().items()}
    with_teacher = taught.evaluate(ARCH).metrics["train_loss"]
    assert with_teacher != trainer(tmp_path / "alone").evaluate(ARCH).metrics["train_loss"]
    assert all(torch.equal(before[n], t) for n, t in teacher.state_dict().items())
    assert not hasattr(distiller, "head"), "the next training must find the distiller unbound"
    trained = taught.ctx.slot(ARCH.key).load()["training"]["distiller"]["head.weight"]  # type: ignore[index]
    again = trainer(tmp_path / "again", options=options, distiller=distiller)
    again.evaluate(ARCH)
    same = again.ctx.slot(ARCH.key).load()["training"]["distiller"]["head.weight"]  # type: ignore[index]
    assert torch.equal(trained, same)


def test_a_teacher_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    match = Match(PluginConfig())
    with pytest.raises(RunError, match="knows 4 classes, the data has 3"):
        trainer(tmp_path, options={"teacher": "runs/4"}, distiller=match)
    with pytest.raises(RunError, match="teacher: nowhere: is not a run folder"):
        trainer(tmp_path, options={"teacher": "nowhere"}, distiller=match)
    with pytest.raises(RecipeError, match="no distiller to compare"):
        trainer(tmp_path, options={"teacher": "runs/3"})
    with pytest.raises(RecipeError, match=r"train.teacher: missing, and \[train.distiller\] needs one"):
        trainer(tmp_path, distiller=match)
