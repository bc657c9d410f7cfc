"""The ``vit`` space: AutoFormer's vision transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph, Node
from nasforge.errors import ArchError, suggest
from nasforge.nn import Network
from nasforge.plugins.capabilities import NetworkPart
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.vit.config import VitConfig
from nasforge_plugins.spaces.vit.encoder import Attention, Hidden, Patches, TokenClassifier
from nasforge_plugins.spaces.vit.network import VitNetwork
from nasforge_plugins.spaces.vit.notation import PUBLISHED, read_row, write_row

__all__ = ["VitSpace"]


class VitSpace(NetworkSpace[VitConfig]):
    """Vision transformers with entangled weights (Chen et al., "AutoFormer", ICCV 2021).

    Choices: ``embed_dim`` and ``depth`` of the network, ``block0/heads`` and ``block0/mlp_ratio`` of every
    block. All are elastic: a smaller option is the leading slice of a larger one. Networks of all scales have
    the same sizes.

    Blocks that an architecture does not have still answer their choices; `canonical` gives them the first
    options, so that equal networks are equal architectures.
    """

    @property
    def reference_task(self) -> Task:
        """ImageNet at 224 pixels, or 8 x 8 patches of ten classes where patches have other sides than 16."""
        patch = self.config.patch_size
        return Task(3, 224, 1000) if patch == 16 else Task(3, 8 * patch, 10)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Width, depth, then heads and ratio of every block."""
        embed_dims, depths, heads, ratios = self.config.sizes()
        found = [_elastic("embed_dim", embed_dims), _elastic("depth", depths)]
        for i in range(depths[-1]):
            found += [_elastic(f"block{i}/heads", heads), _elastic(f"block{i}/mlp_ratio", ratios)]
        return tuple(found)

    def canonical(self, arch: Arch) -> Arch:
        """Give blocks beyond the depth the first options."""
        depth = int(arch["depth"][0])
        beyond = {c.name: c.options[:1] for c in self.choices[2 + 2 * depth :]}
        return Arch({**arch, **beyond}) if beyond else arch

    def size(self) -> int:
        """Return the number of different networks."""
        embed_dims, depths, heads, ratios = self.config.sizes()
        return len(embed_dims) * sum((len(heads) * len(ratios)) ** depth for depth in depths)

    def parse(self, text: str) -> Arch:
        """Read ``AutoFormer-T``, ``-S`` or ``-B``, a row of the published search, or JSON.

        Raises:
            ArchError: The text cannot be read, or is not an architecture of this space.
        """
        text = text.strip()
        if text.startswith("{"):
            return super().parse(text)
        if text[:1].isalpha() and text not in PUBLISHED:
            raise ArchError(f"no published architecture {text!r}.{suggest(text, PUBLISHED)}")
        depth, ratios, heads, embed_dim = read_row(PUBLISHED.get(text, text))
        answers = {c.name: c.options[0] for c in self.choices} | {"depth": depth, "embed_dim": embed_dim}
        for i, (head, ratio) in enumerate(zip(heads, ratios, strict=True)):
            answers |= {f"block{i}/heads": head, f"block{i}/mlp_ratio": ratio}
        arch = Arch(answers)
        self.validate(arch)
        return self.canonical(arch)

    def notation(self, arch: Arch) -> str:
        """Write ``(depth, ratios…, heads…, embedding dimension)``, as the published search does."""
        blocks = range(int(arch["depth"][0]))
        ratios = [arch[f"block{i}/mlp_ratio"][0] for i in blocks]
        heads = [arch[f"block{i}/heads"][0] for i in blocks]
        return write_row(arch["depth"][0], ratios, heads, arch["embed_dim"][0])

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return the blocks from first to last, each with its heads and ratio."""
        nodes: list[Node] = []
        for i in range(int(arch["depth"][0])):
            before = nodes[-1].name if nodes else "patches"
            heads, ratio = arch[f"block{i}/heads"][0], arch[f"block{i}/mlp_ratio"][0]
            nodes.append(Node(f"block{i}", ((f"{heads} heads, mlp x{ratio}", before),)))
        return (Graph(f"transformer, {arch['embed_dim'][0]} channels", ("patches",), tuple(nodes)),)

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build a network or the supernet; see `NetworkSpace.build`.

        Raises:
            ArchError: ``arch`` does not belong to this space, or images are not made of whole patches.
        """
        self._check(task)
        if arch is not None:
            self.validate(arch)
        return VitNetwork(self.config, self.choices, task, arch)

    def parts(self, task: Task) -> Iterator[NetworkPart]:
        """Yield patches with classifier, and both halves of every block, by the options that they need."""
        self._check(task)
        config, side = self.config, task.image_size // self.config.patch_size
        width, depth, *blocks = self.choices
        makers: dict[tuple[str, ...], Callable[[], nn.Module]] = {}
        for option in width.options:
            picks, embed_dim = (("embed_dim", option),), int(option)
            tokens = (1, 1 + side * side, embed_dim)
            image = (1, task.in_channels, task.image_size, task.image_size)
            patches = partial(Patches, task.in_channels, embed_dim, config.patch_size, side * side)
            yield NetworkPart(picks, image, patches)
            yield NetworkPart(picks, tokens, partial(TokenClassifier, embed_dim, task.num_classes))
            for heads, ratio in zip(blocks[::2], blocks[1::2], strict=True):
                for choice, answer in [(c, o) for c in (heads, ratio) for o in c.options]:
                    key = (option, choice.name.rpartition("/")[2], answer)
                    only = Choice(choice.name, (answer,), elastic=True)
                    half = (
                        partial(
                            Attention, only, embed_dim, config.head_dim, side, config.max_relative_position
                        )
                        if choice is heads
                        else partial(Hidden, only, embed_dim)
                    )
                    make = makers.setdefault(key, half)
                    first = 1 + int(choice.name.removeprefix("block").partition("/")[0])
                    for deep in (d for d in depth.options if int(d) >= first):
                        under = (("depth", deep), *picks, (choice.name, answer))
                        yield NetworkPart(under, tokens, make)

    def _check(self, task: Task) -> None:
        if task.image_size % self.config.patch_size:
            raise ArchError(
                f"space.patch_size: images of {task.image_size} pixels are not made of patches of "
                f"{self.config.patch_size}. Take a size that divides {task.image_size}."
            )


def _elastic(name: str, sizes: tuple[float, ...]) -> Choice:
    return Choice(name, tuple(f"{size:g}" for size in sizes), elastic=True)
