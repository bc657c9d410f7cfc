"""Bugs planted in a sound distiller: the kit finds each, and says what it is."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge.testing.parts import TinyDistiller
from support.planting import assert_caught, assert_sound, plugin_of


class DetachesStudent(TinyDistiller):
    def forward(self, student, teacher, target):
        return F.mse_loss(self.unit * student.logits.detach(), teacher.logits.detach())


class LossPerImage(TinyDistiller):
    def forward(self, student, teacher, target):
        return (student.logits - teacher.logits).square().mean(1)


class LossIsInfinite(TinyDistiller):
    def forward(self, student, teacher, target):
        return super().forward(student, teacher, target) / 0.0


class PushesApart(TinyDistiller):
    def forward(self, student, teacher, target):
        return -super().forward(student, teacher, target)


class ComparesWithZero(TinyDistiller):
    """Forgot the teacher."""

    def forward(self, student, teacher, target):
        return (self.unit * student.logits).square().mean()


class EqualChannelsOnly(TinyDistiller):
    def forward(self, student, teacher, target):
        deep = (student.features[-1] - teacher.features[-1]).square().mean()
        return deep + super().forward(student, teacher, target)


class BuildsInForward(TinyDistiller):
    def forward(self, student, teacher, target):
        if not hasattr(self, "late"):
            self.late = nn.Linear(4, 4)
        return F.mse_loss(self.late(self.unit * student.logits), self.late(self.unit * teacher.logits))


class UnusedHead(TinyDistiller):
    def bind(self, student, teacher, task):
        super().bind(student, teacher, task)
        self.head = nn.Linear(4, 4)


class StateInAttribute(TinyDistiller):
    def bind(self, student, teacher, task):
        super().bind(student, teacher, task)
        self.projection = torch.randn(task.num_classes)

    def forward(self, student, teacher, target):
        return F.mse_loss(
            self.unit * self.projection * student.logits, self.unit * self.projection * teacher.logits
        )


class WrongGradient(TinyDistiller):
    """Its value is right, its gradient points the other way."""

    def forward(self, student, teacher, target):
        loss = super().forward(student, teacher, target)
        return 2 * loss.detach() - loss


class NoModule:
    def __init__(self, config):
        self.config = config


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (DetachesStudent, "loss_is_a_finite_scalar", "was the student detached?"),
        (LossPerImage, "loss_is_a_finite_scalar", "scalar"),
        (LossIsInfinite, "loss_is_a_finite_scalar", "inf"),
        (PushesApart, "identical_outputs_are_the_minimum", "does not pull"),
        (ComparesWithZero, "identical_outputs_are_the_minimum", "does not pull"),
        (EqualChannelsOnly, "unequal_channels_are_accepted", "match"),
        (BuildsInForward, "own_parameters_are_trained", "bind()"),
        (UnusedHead, "own_parameters_are_trained", "'head.weight'"),
        (StateInAttribute, "state_is_restored", "no parameter or buffer"),
        (WrongGradient, "loss_moves_the_student_to_the_teacher", "raises the loss"),
        (NoModule, "loss_is_a_finite_scalar", "inherit from nasforge.Distiller"),
    ],
)
def test_distillers(target, name, words):
    assert_caught(plugin_of("distiller", target), name, words)


def test_the_distiller_without_bugs_is_sound():
    assert_sound(plugin_of("distiller", TinyDistiller))
