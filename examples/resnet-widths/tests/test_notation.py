"""Architectures are read as they are written, and mistakes are told."""

import pytest
import torch
from nasforge.errors import ArchError
from nasforge.space import Task

from resnet_widths.config import ResnetWidthsSpaceConfig
from resnet_widths.space import ResnetWidthsSpace

SPACE = ResnetWidthsSpace(ResnetWidthsSpaceConfig())


def test_resnet_is_resnet_20() -> None:
    arch = SPACE.parse("resnet")
    assert SPACE.notation(arch) == "100 100 100 | 100 100 100 | 100 100 100"
    network = SPACE.build(Task(3, 32, 10), arch)
    weights = [p for p in network.parameters() if p.dim() > 1 and p.shape[-1] != 1]
    assert len(weights) == 20  # 19 convolutions and the classifier: shortcuts are 1x1
    assert [tuple(f.shape[1:]) for f in network(torch.zeros(2, 3, 32, 32)).features] == [
        (16, 32, 32),
        (32, 16, 16),
        (64, 8, 8),
    ]


def test_a_block_may_be_absent() -> None:
    text = "100 50 - | 25 - 100 | 200 100 -"
    arch = SPACE.parse(text)
    assert SPACE.notation(arch) == text
    assert len(list(SPACE.build(Task(), arch).blocks[2].body.parameters())) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnt", "Did you mean 'resnet'"),
        ("100 100 | 100 100", r"has \[2, 2\] blocks per stage. Write 3 stages of 3"),
        ("100 50 - | - 100 100 | 100 100 100", "'stage1/block0' has no option 'absent'"),
        ("100 50 30 | 25 100 100 | 100 100 100", "has no option 'w30'"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(ArchError, match=message):
        SPACE.parse(text)
