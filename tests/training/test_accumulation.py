"""Gradients of several batches for one step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from nasforge.runtime import Runtime
from nasforge.training.epochs import EpochTraining
from support.tiny_training import TinyData


class Linear(EpochTraining):
    """A linear classifier in float64, with gradient clipping."""

    def __init__(self, accumulate: int) -> None:
        torch.manual_seed(3)
        self.layer = nn.Linear(192, 3).double()
        self.updates = 0
        parameters = list(self.layer.parameters())
        optimizer = SGD(parameters, 0.1, momentum=0.9)
        runtime = Runtime(torch.device("cpu"))
        super().__init__(TinyData(), runtime, {"layer": self.layer}, optimizer, parameters, 0.5, accumulate)

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.layer(images.double().flatten(1))
        return cross_entropy(logits, labels), logits

    def after_update(self) -> None:
        self.updates += 1


def trained(batch_size: int, accumulate: int) -> Linear:
    training = Linear(accumulate)
    for epoch in range(3):
        training.train(
            "full", epoch, 3, lr=0.1, batch_size=batch_size, where="test", report=lambda values: None
        )
    return training


def test_accumulated_batches_equal_a_large_batch() -> None:
    # 36 images: batches of 20 and 16, or eight of 5 and 1 in groups of four.
    large, small = trained(20, 1), trained(5, 4)
    assert large.updates == small.updates == 6
    torch.testing.assert_close(small.layer.weight, large.layer.weight, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(trained(5, 3).layer.weight, large.layer.weight, rtol=1e-3)
