"""Widened layers: what new channels copy, and which layers copy the same."""

from __future__ import annotations

import torch
from torch import nn

from nasforge_plugins.ops.convolutions import FactorizedReduce, ReluConvBn, SeparableConv
from nasforge_plugins.searchers.gradient.widening import copy_widened, find_sources, widen_momentum


class Stack(nn.Module):
    """Every kind of layer that grows, between two that do not."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.conv = ReluConvBn(channels, channels, 3)
        self.dilated = SeparableConv(channels, 3, dilation=2)
        self.separable = SeparableConv(channels, 5)
        self.reduce = FactorizedReduce(channels, channels)
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(channels, affine=False))
        self.classifier = nn.Linear(4, 2)


def widen(narrow: int = 4, wide: int = 6, seed: int = 0):
    torch.manual_seed(seed)
    old, new = Stack(narrow), Stack(wide)
    for tensor in old.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_()  # every channel another, statistics too
    sources = find_sources(old, new, torch.Generator().manual_seed(seed))
    copy_widened(new, old, sources)
    return old, new, sources


def parents(wide: torch.Tensor, narrow: torch.Tensor) -> list[int]:
    """Return the old row that each new row equals in its first columns."""
    cut = tuple(slice(size) for size in narrow.shape[1:])
    rows = [[i for i in range(len(narrow)) if torch.equal(row[cut], narrow[i])] for row in wide]
    assert all(len(found) == 1 for found in rows)
    return [found[0] for found in rows]


def test_old_channels_stay_and_new_ones_copy_old_ones():
    old, new, sources = widen()
    for name, value in new.state_dict().items():
        before = old.state_dict()[name]
        corner = tuple(slice(size) for size in before.shape)
        if not name.startswith("reduce"):  # there two halves grow side by side
            assert torch.equal(value[corner], before), name
    assert not {name for name in sources if name.startswith(("stem", "classifier"))}
    wide, narrow = new.conv.conv.weight, old.conv.conv.weight
    outputs, inputs = parents(wide, narrow), parents(wide.transpose(0, 1), narrow.transpose(0, 1))
    assert outputs[:4] == inputs[:4] == [0, 1, 2, 3]
    assert torch.equal(wide, narrow[outputs][:, inputs])


def test_norms_copy_what_their_convolutions_do():
    for seed in range(5):
        old, new, _ = widen(seed=seed)
        for path in ("conv.conv", "dilated.pointwise", "separable.pointwise"):
            block = path.partition(".")[0]
            outputs = parents(new.get_submodule(path).weight, old.get_submodule(path).weight)
            norms = (net.get_submodule(f"{block}.norm").running_mean for net in (new, old))
            assert parents(*(mean.unsqueeze(1) for mean in norms)) == outputs
        halves = [
            parents(getattr(new.reduce, n).weight, getattr(old.reduce, n).weight) for n in ("even", "odd")
        ]
        joined = parents(new.reduce.norm.weight.unsqueeze(1), old.reduce.norm.weight.unsqueeze(1))
        assert joined == [*halves[0], *(2 + i for i in halves[1])]


def test_only_behind_a_dilated_convolution_is_the_input_that_of_the_depthwise_one():
    """As in operations.py of DrNAS: `DilConv.wider` hands its index on, `SepConv.wider` draws another."""
    same = {"dilated": [], "separable": []}
    for seed in range(8):
        old, new, _ = widen(seed=seed)
        for name, found in same.items():
            wide, narrow = getattr(new, name), getattr(old, name)
            depthwise = parents(wide.depthwise.weight, narrow.depthwise.weight)
            pairs = (net.pointwise.weight.transpose(0, 1) for net in (wide, narrow))
            found.append(parents(*pairs) == depthwise)
    assert all(same["dilated"])
    assert not all(same["separable"])


def test_momentum_is_widened_like_its_parameter():
    old, new, sources = widen()
    narrow = torch.optim.SGD(old.parameters(), 0.1, momentum=0.9)
    names = dict(old.named_parameters())
    for name, parameter in names.items():
        if name != "classifier.bias":  # what never learned has no momentum
            narrow.state[parameter]["momentum_buffer"] = 2.0 * parameter.detach()
    wide = torch.optim.SGD(new.parameters(), 0.1, momentum=0.9)
    widen_momentum(wide, new, narrow, old, sources)
    for name, parameter in new.named_parameters():
        if name == "classifier.bias":
            assert not wide.state.get(parameter)
        else:
            assert torch.equal(wide.state[parameter]["momentum_buffer"], 2.0 * parameter.detach()), name
