"""A search space in one file: eight MobileNet layers that widen, look wider, or are left out."""

from torch import nn

from nasforge import Choice, NetworkSpace, Plugin, PluginConfig, hookimpl
from nasforge.nn import ChoiceBlock, FeatureInfo, Network, Output

OPTIONS = ("identity", "e3k3", "e6k5")
# Per layer: width in multiples of the stem, and stride. Stages of two, three and three layers.
LAYERS = ((1, 1), (1, 1), (2, 2), (2, 1), (2, 1), (4, 2), (4, 1), (4, 1))
STAGE_ENDS = (1, 4, 7)


class MobileNetChainConfig(PluginConfig):
    stem: int = 32
    """Channels of the stem; the stages have one, two and four times as many."""


def conv(c_in, c_out, kernel=1, stride=1, groups=1):
    layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(c_out))


class MobileBlock(nn.Module):
    def __init__(self, option, c_in, c_out, stride):
        super().__init__()
        inner, kernel = int(option[1]) * c_in, int(option[3])
        depthwise = conv(inner, inner, kernel, stride, groups=inner)
        self.body = nn.Sequential(conv(c_in, inner), nn.ReLU6(), depthwise, nn.ReLU6(), conv(inner, c_out))
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class Chain(Network):
    def __init__(self, stem, choices, task, arch):
        super().__init__()
        self.stem = nn.Sequential(conv(task.in_channels, stem, 3), nn.ReLU6())
        self.layers, info, c_in, total = nn.ModuleList(), [], stem, 1
        for choice, (width, stride) in zip(choices, LAYERS, strict=True):

            def make(option, shape=(c_in, width * stem, stride)):
                return nn.Identity() if option == "identity" else MobileBlock(option, *shape)

            self.layers.append(ChoiceBlock(choice, make, arch))
            c_in, total = width * stem, total * stride
            info.append(FeatureInfo(c_in, total))
        self.feature_info = tuple(info[end] for end in STAGE_ENDS)
        self.classifier = nn.Linear(c_in, task.num_classes)

    def forward(self, x, weights=None):
        x, features = self.stem(x), []
        for layer in self.layers:
            x = layer(x, weights)
            features.append(x)
        return Output(self.classifier(x.mean((2, 3))), tuple(features[end] for end in STAGE_ENDS))


class MobileNetChain(NetworkSpace[MobileNetChainConfig]):
    parameter_free = frozenset({"identity"})
    tied = ("stem",)

    @property
    def choices(self):
        # The layers with a stride change the shape, so they cannot be left out.
        picks = [OPTIONS if stride == 1 else OPTIONS[1:] for _, stride in LAYERS]
        return tuple(Choice(f"layer{i}", options) for i, options in enumerate(picks))

    def build(self, task, arch=None, scale="final"):
        return Chain(self.config.stem, self.choices, task, arch)


@hookimpl
def nasforge_plugins():
    target, provides = f"{__name__}:MobileNetChain", frozenset({NetworkSpace})
    return [Plugin("space", "mobilenet-chain", target, MobileNetChainConfig, provides=provides)]
