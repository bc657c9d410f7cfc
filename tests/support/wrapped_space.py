"""A space whose edges cost something besides the operation that is chosen on them."""

from torch import nn

from nasforge.arch import Choice
from nasforge.config import PluginConfig
from nasforge.nn import ChoiceBlock, EdgeSum, Network, Output
from nasforge.space import NetworkSpace


class WrappedEdge(nn.Module):
    """An edge with a convolution of its own before the operation that is chosen."""

    def __init__(self, choice, arch):
        super().__init__()
        self.before = nn.Conv2d(4, 4, 1, bias=False)
        self.block = ChoiceBlock(choice, lambda o: nn.Conv2d(4, 4, int(o[-1]), padding=int(o[-1]) // 2), arch)

    def forward(self, x, weights=None):
        return self.block(self.before(x), weights)


class WrappedNetwork(Network):
    def __init__(self, choices, task, arch):
        super().__init__()
        self.stem = nn.Conv2d(task.in_channels, 4, 3, padding=1)
        self.node = EdgeSum(choices["inputs"], lambda s: WrappedEdge(choices[f"op/{s}"], arch), arch)
        self.classifier = nn.Linear(4, task.num_classes)

    def forward(self, x, weights=None):
        x = self.stem(x)
        x = self.node({"in0": x, "in1": -x}, weights)
        return Output(self.classifier(x.mean((2, 3))))


class WrappedSpace(NetworkSpace[PluginConfig]):
    """An operation inside an edge that costs something itself."""

    @property
    def choices(self):
        inputs = ("in0", "in1")
        operations = (Choice(f"op/{source}", ("conv1", "conv3")) for source in inputs)
        return (Choice("inputs", inputs, kind="edge"), *operations)

    def build(self, task, arch=None, scale="final"):
        return WrappedNetwork({c.name: c for c in self.choices}, task, arch)
