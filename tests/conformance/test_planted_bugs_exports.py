"""Sabotaged spaces whose networks cannot be exported; the check that forbids it must see it."""

import pytest
import torch

from nasforge.nn import Output
from nasforge.space import NetworkSpace
from nasforge.testing.parts import TinySpace
from support.planting import assert_caught, plugin_of


@torch.library.custom_op("planted::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


@twice.register_fake
def _(x):
    return torch.empty_like(x)


class Changed(TinySpace):
    """The networks of the tiny space, with changed logits."""

    def build(self, task, arch=None, scale="final"):
        network = super().build(task, arch, scale)
        forward = network.forward

        def changed(x, weights=None):
            out = forward(x, weights)
            return Output(self.change(out.logits), out.features)

        network.forward = changed
        return network


class DependsOnNumbers(Changed):
    def change(self, logits):
        return logits if float(logits.max()) > 0 else 2 * logits


class OwnOperator(Changed):
    def change(self, logits):
        return torch.ops.planted.twice(logits)


class OneBatchSize(Changed):
    def change(self, logits):
        return logits + torch.ones(2, 1) if logits.shape[0] == 2 else logits


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (DependsOnNumbers, "cannot record a final network"),
        (OwnOperator, "planted.twice"),
        (OneBatchSize, "cannot record a final network"),
    ],
)
def test_exports(target, words):
    plugin = plugin_of("space", target, provides=frozenset({NetworkSpace}))
    assert_caught(plugin, "networks_can_be_exported", words)
