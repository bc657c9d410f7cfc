"""The space: what can be chosen, and the network of a choice."""

from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.nn import ChoiceBlock, FeatureInfo, Network, OptionWeights, Output
from nasforge.plugins.templates.space.config import TemplateSpaceConfig
from nasforge.space import NetworkSpace, Scale, Task

__all__ = ["TemplateSpace"]

OPTIONS = ("conv3", "conv5", "separable3", "skip")
"""Options of every layer."""


class TemplateSpace(NetworkSpace[TemplateSpaceConfig]):
    """Stages of layers, each of which is a convolution or left out."""

    parameter_free = frozenset({"skip"})
    tied = ("stem",)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """One choice per layer, first stage first."""
        stages, layers = range(self.config.stages), range(self.config.layers_per_stage)
        return tuple(Choice(f"stage{i}/layer{j}", OPTIONS) for i in stages for j in layers)

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build a network, or without an architecture the supernet; of one size at every scale."""
        return StagedNetwork(self.config, self.choices, task, arch)


class StagedNetwork(Network):
    """Stem, stages that halve the image and double the channels, classifier.

    Args:
        config: The options of the space.
        choices: Its choices, layer by layer.
        task: Input and output sizes.
        arch: The architecture; None builds every option of every layer.
    """

    def __init__(
        self, config: TemplateSpaceConfig, choices: tuple[Choice, ...], task: Task, arch: Arch | None
    ) -> None:
        super().__init__()
        width = config.channels
        self.stem = conv(task.in_channels, width, 3)
        self.stages = nn.ModuleList()
        info, remaining = [], iter(choices)
        for stage in range(config.stages):
            layers = nn.ModuleList([conv(width, 2 * width, 3, stride=2)])
            width *= 2

            def make(option: str, channels: int = width) -> nn.Module:
                return layer(option, channels)

            for _ in range(config.layers_per_stage):
                layers.append(ChoiceBlock(next(remaining), make, arch))
            self.stages.append(layers)
            info.append(FeatureInfo(width, 2 ** (stage + 1)))
        self.classifier = nn.Linear(width, task.num_classes)
        # What a distiller sees: channels and stride of the output of every stage.
        self.feature_info = tuple(info)

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images ``(B, C, S, S)``; ``weights`` are those of the options, by choice name."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for part in stage:
                x = part(x, weights) if isinstance(part, ChoiceBlock) else part(x)
            features.append(x)
        return Output(self.classifier(x.mean((2, 3))), tuple(features))


def layer(option: str, channels: int) -> nn.Module:
    """Return the module of an option: ``(B, channels, S, S)`` to the same shape."""
    if option == "skip":
        return nn.Identity()
    if option == "separable3":
        return nn.Sequential(conv(channels, channels, 3, groups=channels), conv(channels, channels, 1))
    return conv(channels, channels, int(option[-1]))


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """Return convolution, batch norm and ReLU."""
    convolution = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out), nn.ReLU())
