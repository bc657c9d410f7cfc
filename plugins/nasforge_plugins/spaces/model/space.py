"""A search space made from a network that exists."""

from __future__ import annotations

import math
from functools import cached_property
from random import Random

import torch

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph, Node
from nasforge.nn import Network
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.model.config import ModelConfig
from nasforge_plugins.spaces.model.ends import fit_to_task
from nasforge_plugins.spaces.model.network import DROP, FULL, NO_GATE, BlockChoices, ModelNetwork
from nasforge_plugins.spaces.model.notation import ORIGINAL, read_changes, write_changes
from nasforge_plugins.spaces.model.original import Original

__all__ = ["ModelSpace"]


class ModelSpace(NetworkSpace[ModelConfig]):
    """Variants of one network: blocks left out or narrower inside, other kernels, activations and gates.

    Possible changes are read from the network: see `find_blocks`. The first option of every choice is that
    of the network, so the original is an architecture of its own space, and computes the same, bit for bit.
    Networks have the weights of the original wherever its modules are left, with fewer channels or another
    kernel where these change; the supernet has a copy for every option. All scales are alike.

    Choices are named after the modules, such as ``layer1/0`` for how much of the block ``layer1.0`` is left,
    and ``layer1/0/conv1/kernel``. `canonical` answers the choices inside a block that is left out with their
    first options.
    """

    parameter_free = frozenset()

    @cached_property
    def _original(self) -> Original:
        return Original(self.config)

    @property
    def reference_task(self) -> Task:
        """Images and classes of the original."""
        ends = self._original.ends
        return Task(ends.in_channels, self.config.image_size, ends.classes)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every decision, in the order of the network's blocks."""
        return self._original.choices

    @property
    def baseline(self) -> Arch:
        """The original as an architecture."""
        return Arch({c.name: c.options[0] for c in self.choices})

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build a network or the supernet, with the weights of the original; see `NetworkSpace.build`.

        Raises:
            ArchError: ``arch`` does not belong to this space.
            RunError: The original cannot be made, or does not fit the images.
        """
        if arch is not None:
            self.validate(arch)
        original = self._original
        model = original.copy().train()
        fit_to_task(model, original.ends, task)
        features = original.features(task.image_size)
        network = ModelNetwork(
            model, original.blocks, arch, [path for path, _ in features], [info for _, info in features]
        )
        return network.to(torch.empty(0).device).train()

    def sample(self, rng: Random) -> Arch:
        """Draw how much of the network changes, from nothing to everything, and then what.

        Drawn uniformly over all answers, hardly any network would be near the original, where its weights
        are still worth something.

        Args:
            rng: The only source of randomness.
        """
        share = rng.random()
        return self.canonical(
            Arch({c.name: c.draw(rng) if rng.random() < share else c.options[0] for c in self.choices})
        )

    def canonical(self, arch: Arch) -> Arch:
        """Answer the choices inside blocks that are left out with their first options."""
        changes: dict[str, str] = {}
        for block in self._dropped(arch):
            changes |= {choice.name: choice.options[0] for choice in block.all if choice is not block.size}
        return Arch({**arch, **changes}) if changes else arch

    def size(self) -> int:
        """Return the number of different networks: what is inside a block that is left out counts once."""
        total = 1
        for block in self._original.blocks:
            inside = math.prod(c.count() for c in block.all if c is not block.size)
            sizes = block.size.options if block.size is not None else (FULL,)
            total *= sum(1 if option == DROP else inside for option in sizes)
        return total

    def parse(self, text: str) -> Arch:
        """Read ``original``, what differs from it (``layer1/0=w50 layer2/1=drop``), or JSON.

        Raises:
            ArchError: The text cannot be read, or is not an architecture of this space.
        """
        text = text.strip()
        if text.startswith("{"):
            return super().parse(text)
        return self.canonical(read_changes(text, self.choices))

    def notation(self, arch: Arch) -> str:
        """Write what differs from the original; ``original`` if nothing does."""
        return write_changes(arch, self.choices)

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return the blocks that are left, with what they have become."""
        dropped = {block.plan.path for block in self._dropped(arch)}
        nodes: list[Node] = []
        for block in self._original.blocks:
            if block.plan.path not in dropped:
                before = nodes[-1].name if nodes else "stem"
                nodes.append(Node(block.plan.path, ((_label(block, arch), before),)))
        return (Graph(ORIGINAL if arch == self.baseline else "network", ("stem",), tuple(nodes)),)

    def _dropped(self, arch: Arch) -> list[BlockChoices]:
        return [b for b in self._original.blocks if b.size is not None and arch.get(b.size.name) == (DROP,)]


def _label(block: BlockChoices, arch: Arch) -> str:
    words = [] if block.size is None else [arch[block.size.name][0]]
    words += [
        f"{conv} {arch[choice.name][0]}"
        for conv, choice in block.kernels.items()
        if arch[choice.name] != (choice.options[0],)
    ]
    if block.activation is not None and arch[block.activation.name] != (block.activation.options[0],):
        words.append(arch[block.activation.name][0])
    if block.gate is not None and arch[block.gate.name] != (NO_GATE,):
        words.append(arch[block.gate.name][0])
    return " ".join(words) or FULL
