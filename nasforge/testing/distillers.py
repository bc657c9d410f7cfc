"""Checks of distillers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nasforge.distiller import Distiller
from nasforge.nn import FeatureInfo, Output
from nasforge.space import Task
from nasforge.testing.common import Rule, Subject, require, scratch
from nasforge.testing.workbench import through_disk

__all__ = ["CHECKS"]

TASK = Task(3, 16, 4)
NARROW = (FeatureInfo(4, 1), FeatureInfo(6, 2), FeatureInfo(8, 4))
WIDE = (FeatureInfo(8, 1), FeatureInfo(12, 2), FeatureInfo(16, 4))
BATCH = 6


def loss_is_a_finite_scalar(subject: Subject) -> None:
    """The loss is one finite number, and the student has a gradient."""
    distiller, target = _bound(subject, NARROW, NARROW), _target()
    student, teacher = _output(NARROW, 1), _output(NARROW, 2)
    loss = distiller(student, teacher, target)
    require(
        isinstance(loss, Tensor) and loss.shape == (),
        f"the loss must be a scalar tensor, got {_shape(loss)}.",
    )
    require(torch.isfinite(loss), f"the loss of two ordinary outputs is {loss.item()}.")
    require(loss.requires_grad, "the loss has no gradient; nothing can be learned from it.")
    loss.backward()
    gradients = [x.grad for x in (student.logits, *student.features) if x.grad is not None]
    require(
        any(bool((g != 0).any()) for g in gradients),
        "the loss has no gradient for the student's logits or features; was the student detached?",
    )
    require(all(bool(g.isfinite().all()) for g in gradients), "a gradient of the student is not finite.")


def loss_moves_the_student_to_the_teacher(subject: Subject) -> None:
    """A small step against the gradient makes the loss smaller."""
    distiller, target = _bound(subject, NARROW, NARROW), _target()
    student, teacher = _output(NARROW, 1), _output(NARROW, 2)
    before = distiller(student, teacher, target)
    before.backward()
    leaves = (student.logits, *student.features)
    length = sum(float(x.grad.square().sum()) for x in leaves if x.grad is not None) ** 0.5
    moved = [(x - 1e-3 / max(length, 1e-12) * x.grad).detach() if x.grad is not None else x for x in leaves]
    with torch.no_grad():
        after = distiller(Output(moved[0], tuple(moved[1:])), teacher, target)
    require(
        after.item() <= before.item(),
        f"a step against its gradient raises the loss from {before.item():.6g} to {after.item():.6g}.",
    )


def identical_outputs_are_the_minimum(subject: Subject) -> None:
    """No other student has a smaller loss than one that equals its teacher."""
    distiller, target = _bound(subject, NARROW, NARROW), _target()
    with torch.no_grad():
        teacher = _output(NARROW, 2)
        least = float(distiller(teacher, teacher, target))
        for seed in range(3, 8):
            other = float(distiller(_output(NARROW, seed), teacher, target))
            require(
                least <= other + 1e-6 * max(1.0, abs(other)),
                f"a student that equals its teacher has loss {least:.6g}, another one {other:.6g}: the loss "
                "does not pull the student to the teacher.",
            )


def unequal_channels_are_accepted(subject: Subject) -> None:
    """Student and teacher may have features of different width."""
    for student, teacher in ((NARROW, WIDE), (WIDE, NARROW)):
        distiller = _bound(subject, student, teacher)
        loss = distiller(_output(student, 1), _output(teacher, 2), _target())
        require(
            torch.isfinite(loss).all(),
            f"with channels {[i.channels for i in student]} and {[i.channels for i in teacher]} the loss is "
            f"{loss}. Build what adapts them in bind().",
        )


def own_parameters_are_trained(subject: Subject) -> None:
    """Parameters that want a gradient get one, and `bind` makes them all."""
    distiller = _bound(subject, NARROW, WIDE)
    names = [name for name, _ in distiller.named_parameters()]
    distiller(_output(NARROW, 1), _output(WIDE, 2), _target()).backward()
    require(
        names == [name for name, _ in distiller.named_parameters()],
        "forward() makes new parameters; the optimiser has been made by then. Make them in bind().",
    )
    for name, parameter in distiller.named_parameters():
        require(
            not parameter.requires_grad or parameter.grad is not None,
            f"parameter {name!r} takes no part in the loss. Leave it out, or call requires_grad_(False).",
        )


def state_is_restored(subject: Subject) -> None:
    """Parameters and buffers survive a checkpoint, and with them the loss."""
    first, second = _bound(subject, NARROW, WIDE, 0), _bound(subject, NARROW, WIDE, 1)
    outputs = _output(NARROW, 1), _output(WIDE, 2), _target()
    with scratch() as folder, torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1)
        second.load_state_dict(through_disk(first.state_dict(), folder))
        first.eval()
        second.eval()
        a, b = float(first(*outputs)), float(second(*outputs))
    require(
        a == b,
        f"the loss is {a} before and {b} after loading the state: part of it is no parameter or buffer.",
    )


CHECKS: tuple[Rule, ...] = (
    loss_is_a_finite_scalar,
    loss_moves_the_student_to_the_teacher,
    identical_outputs_are_the_minimum,
    unequal_channels_are_accepted,
    own_parameters_are_trained,
    state_is_restored,
)


def _bound(
    subject: Subject, student: tuple[FeatureInfo, ...], teacher: tuple[FeatureInfo, ...], seed: int = 0
) -> Distiller[Any]:
    torch.manual_seed(seed)
    distiller = subject.make()
    require(
        isinstance(distiller, torch.nn.Module), "a distiller is a module: inherit from nasforge.Distiller."
    )
    distiller.bind(student, teacher, TASK)
    return distiller


def _output(infos: tuple[FeatureInfo, ...], seed: int) -> Output:
    generator = torch.Generator().manual_seed(seed)
    sides = [TASK.image_size // info.stride for info in infos]
    features = [
        torch.randn(BATCH, info.channels, side, side, generator=generator).requires_grad_()
        for info, side in zip(infos, sides, strict=True)
    ]
    logits = torch.randn(BATCH, TASK.num_classes, generator=generator).requires_grad_()
    return Output(logits, tuple(features))


def _target() -> Tensor:
    return torch.arange(BATCH) % TASK.num_classes


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
