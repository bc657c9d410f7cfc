"""The space: what can be chosen, and how it is written."""

from nasforge.arch import Arch, Choice
from nasforge.errors import ArchError, suggest
from nasforge.nn import Network
from nasforge.space import NetworkSpace, Scale, Task

from resnet_widths.config import ResnetWidthsSpaceConfig
from resnet_widths.network import ABSENT, STAGES, ResNet

__all__ = ["ResnetWidthsSpace"]


class ResnetWidthsSpace(NetworkSpace[ResnetWidthsSpaceConfig]):
    """The inner width of every block of a CIFAR ResNet (He et al., 2016, section 4.2).

    Architectures are written as percentages, stage by stage: ``100 100 50 | 25 - 100 | 200 50 100``, where
    ``-`` is a block that is left out. ``resnet`` is the published network, 100 everywhere.
    """

    parameter_free = frozenset({ABSENT})

    def __init__(self, config: ResnetWidthsSpaceConfig) -> None:
        super().__init__(config)
        # Networks of unequal width cannot share their first layer.
        self.tied = ("stem",) if config.search_channels == config.channels else ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """One choice per block, first stage first."""
        widths = tuple(f"w{percent}" for percent in self.config.widths)
        shorter = (*widths, ABSENT) if self.config.removable else widths
        return tuple(
            # The first block of a later stage halves the image: it cannot be left out.
            Choice(f"stage{stage}/block{i}", widths if stage and not i else shorter)
            for stage in range(STAGES)
            for i in range(self.config.blocks)
        )

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build the network of an architecture, or the supernet; see `NetworkSpace.build`."""
        channels = self.config.channels if scale == "final" else self.config.search_channels
        return ResNet(channels, self.choices, task, arch)

    def parse(self, text: str) -> Arch:
        """Read percentages, the name ``resnet``, or JSON.

        Raises:
            ArchError: The text cannot be read, or is not an architecture of this space.
        """
        text = text.strip()
        if text.startswith("{"):
            return super().parse(text)
        if text[:1].isalpha():
            if text != "resnet":
                raise ArchError(f"no published architecture {text!r}.{suggest(text, ['resnet'])}")
            text = " | ".join([" ".join(["100"] * self.config.blocks)] * STAGES)
        stages = [stage.split() for stage in text.split("|")]
        if [len(stage) for stage in stages] != [self.config.blocks] * STAGES:
            raise ArchError(
                f"{text!r}: has {[len(stage) for stage in stages]} blocks per stage. Write {STAGES} stages "
                f"of {self.config.blocks}, such as 100 50 - | 25 100 100 | 200 100 50."
            )
        written = [ABSENT if block == "-" else f"w{block}" for stage in stages for block in stage]
        arch = Arch({choice.name: option for choice, option in zip(self.choices, written, strict=True)})
        self.validate(arch)
        return arch

    def notation(self, arch: Arch) -> str:
        """Write percentages, ``-`` for a block that is left out."""
        written = [
            "-" if arch[c.name] == (ABSENT,) else arch[c.name][0].removeprefix("w") for c in self.choices
        ]
        blocks = self.config.blocks
        return " | ".join(" ".join(written[i * blocks :][:blocks]) for i in range(STAGES))
