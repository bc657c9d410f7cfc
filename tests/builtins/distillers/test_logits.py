import pytest
import torch

from nasforge.nn import Output
from nasforge_plugins.distillers.logits.config import LogitsConfig
from nasforge_plugins.distillers.logits.distiller import LogitsDistiller

TARGET = torch.zeros(3, dtype=torch.long)


def answer() -> tuple[Output, Output]:
    steps = torch.arange(12, dtype=torch.float32)
    student, teacher = (steps / 10).view(3, 4), torch.sin(0.7 * steps - 2).view(3, 4)
    return Output(student.requires_grad_()), Output(teacher.requires_grad_())


def test_value_is_the_divergence_per_image_times_temperature_squared():
    distiller = LogitsDistiller(LogitsConfig(temperature=2.0))
    assert distiller(*answer(), TARGET).item() == pytest.approx(0.0521822, abs=5e-7)


@pytest.mark.parametrize("detach", [True, False])
def test_teacher_learns_only_if_asked(detach):
    student, teacher = answer()
    LogitsDistiller(LogitsConfig(detach_teacher=detach))(student, teacher, TARGET).backward()
    assert float(student.logits.grad.abs().sum()) > 0
    assert (teacher.logits.grad is None) is detach


def test_equal_networks_have_nothing_to_learn():
    student, _ = answer()
    loss = LogitsDistiller(LogitsConfig())(student, student, TARGET)
    assert loss.item() == pytest.approx(0, abs=1e-6)
