"""Residual networks whose blocks have the inner width of an architecture, or all of them."""

from collections.abc import Sequence

from nasforge.arch import Arch, Choice
from nasforge.nn import ChoiceBlock, FeatureInfo, Network, OptionWeights, Output
from nasforge.space import Task
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ABSENT", "STAGES", "ResNet"]

ABSENT = "absent"
"""The option without a block: the shortcut is all that is left."""

STAGES = 3


class ResNet(Network):
    """The residual network for small images (He et al., 2016, section 4.2).

    A block is ``relu(shortcut(x) + body(x))``. What is chosen is the body: two convolutions, with more or
    fewer channels between them. The shortcut is the same whatever is chosen; where the shape changes it is a
    1x1 convolution.

    Args:
        channels: Channels of the first stage.
        choices: One per block, first stage first.
        task: Input and output sizes.
        arch: The architecture; None builds the supernet.
    """

    def __init__(self, channels: int, choices: Sequence[Choice], task: Task, arch: Arch | None) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(task.in_channels, channels), nn.ReLU())
        self.blocks, info, width = nn.ModuleList(), [], channels
        per_stage = len(choices) // STAGES
        for number, choice in enumerate(choices):
            stage, first = divmod(number, per_stage)
            stride = 2 if stage and not first else 1
            self.blocks.append(Block(choice, width, channels * 2**stage, stride, arch))
            width = channels * 2**stage
            if first == per_stage - 1:
                info.append(FeatureInfo(width, 2**stage))
        self.feature_info = tuple(info)
        self.per_stage = per_stage
        self.classifier = nn.Linear(width, task.num_classes)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images ``(B, C, S, S)``; see `nasforge.nn.Network.forward`."""
        x, features = self.stem(x), []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, weights)
            if number % self.per_stage == 0:
                features.append(x)
        return Output(self.classifier(x.mean((2, 3))), tuple(features))


class Block(nn.Module):
    """A shortcut and the bodies of a choice."""

    def __init__(self, choice: Choice, c_in: int, c_out: int, stride: int, arch: Arch | None) -> None:
        super().__init__()

        def body(option: str) -> nn.Module:
            if option == ABSENT:
                return Nothing()
            inner = max(1, round(c_out * int(option.removeprefix("w")) / 100))
            return nn.Sequential(_conv(c_in, inner, stride=stride), nn.ReLU(), _conv(inner, c_out))

        same = stride == 1 and c_in == c_out
        self.shortcut = nn.Identity() if same else _conv(c_in, c_out, kernel=1, stride=stride)
        self.body = ChoiceBlock(choice, body, arch)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x, weights))


class Nothing(nn.Module):
    """Adds zero, so that an absent block can take part in a mixture."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(()).expand_as(x)


def _conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out))
