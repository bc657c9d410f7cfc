"""The contract of search spaces. Torch-free: only `NetworkSpace.build` makes modules."""

from __future__ import annotations

import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal, Protocol, Self, runtime_checkable

from nasforge.arch import Arch, Choice
from nasforge.component import C, Component
from nasforge.errors import ArchError, suggest
from nasforge.plugins import capability
from nasforge.plugins.capabilities import CellTypes, ReducedNetworks

if TYPE_CHECKING:
    from torch import nn

    from nasforge.drawing import Graph
    from nasforge.nn.output import Network

__all__ = [
    "CellTypes",
    "KnownCost",
    "NetworkSpace",
    "PartialChannels",
    "PlainNetworks",
    "ReducedNetworks",
    "Scale",
    "SearchSpace",
    "SeparateStages",
    "TabularSpace",
    "Task",
]

Scale = Literal["search", "eval", "final"]


@dataclass(frozen=True, slots=True)
class Task:
    """Inputs and classes of a network.

    Attributes:
        in_channels: Channels of the input images.
        image_size: Side of the square input images, in pixels.
        num_classes: Width of the logits.
    """

    in_channels: int = 3
    image_size: int = 32
    num_classes: int = 10


class SearchSpace(Component[C], ABC):
    """A set of architectures, described by named choices.

    Only `choices` must be written. Override `canonical` when different answers mean the same network,
    `discretize` when the derive rule is not "the ``k`` heaviest options of every choice", `parse` and
    `notation` when the literature has a notation. All methods are pure functions of the options.
    """

    @property
    @abstractmethod
    def choices(self) -> tuple[Choice, ...]:
        """Every decision, in a fixed order."""

    def sample(self, rng: Random) -> Arch:
        """Draw an architecture; uniform over the answers to `choices`.

        Args:
            rng: The only source of randomness.
        """
        return self.canonical(Arch({c.name: c.draw(rng) for c in self.choices}))

    def mutate(self, arch: Arch, rng: Random) -> Arch:
        """Return a different architecture: one random choice answered anew.

        Args:
            arch: The architecture to start from.
            rng: The only source of randomness.

        Raises:
            ArchError: The space holds no other architecture.
        """
        for _ in range(1000):
            choice = rng.choice(self.choices)
            child = self.canonical(arch.with_answer(choice.name, choice.draw(rng)))
            if child != arch:
                return child
        raise ArchError(f"{type(self).__name__}: found no neighbour of {self.notation(arch)} in 1000 draws.")

    def neighbours(self, arch: Arch) -> tuple[Arch, ...]:
        """Return the architectures that differ from ``arch`` in one option of one choice, in a fixed order.

        Where a choice takes several options, one of them is exchanged; optional ones are also added or left
        out. Answers that `validate` refuses are left out.
        """
        found: dict[Arch, None] = {}
        # Without rules of its own a space has nothing against a valid answer to one choice.
        ruled = type(self).validate is not SearchSpace.validate
        if not ruled and not self._is_valid(arch):
            return ()
        for choice in self.choices:
            picked, free = arch[choice.name], [o for o in choice.options if o not in arch[choice.name]]
            answers = [(set(picked) - {old}) | {new} for old, new in itertools.product(picked, free)]
            if choice.optional:
                answers += [set(picked) - {old} for old in picked] + [{*picked, new} for new in free]
            for answer in answers:
                other = arch.with_answer(choice.name, sorted(answer, key=choice.options.index))
                if not ruled or self._is_valid(other):
                    found[self.canonical(other)] = None
        found.pop(arch, None)
        return tuple(found)

    def enumerate(self) -> Iterator[Arch]:
        """Yield every architecture once, in a fixed order; the last choice changes fastest."""
        answers = [list(c.answers()) for c in self.choices]
        names = [c.name for c in self.choices]
        for answer in itertools.product(*answers):
            arch = Arch(dict(zip(names, answer, strict=True)))
            if self._is_valid(arch) and self.canonical(arch) == arch:
                yield arch

    def validate(self, arch: Arch) -> None:
        """Check that ``arch`` answers every choice of this space.

        Raises:
            ArchError: Lists every wrong answer, with the nearest valid name.
        """
        known = {c.name: c for c in self.choices}
        problems = [f"no choice {name!r}.{suggest(name, known)}" for name in arch if name not in known]
        for name, choice in known.items():
            if name not in arch:
                problems.append(f"choice {name!r} is not answered.")
                continue
            if len(arch[name]) not in choice.sizes or len(set(arch[name])) != len(arch[name]):
                least = f"{choice.sizes[0]} to " if choice.optional else ""
                problems.append(
                    f"choice {name!r} takes {least}{choice.k} different option(s), got {arch[name]}."
                )
            problems += [
                f"choice {name!r} has no option {option!r}.{suggest(option, choice.options)}"
                for option in arch[name]
                if option not in choice.options
            ]
        if problems:
            raise ArchError(f"architecture does not fit {type(self).__name__}: {' '.join(problems)}")

    def canonical(self, arch: Arch) -> Arch:
        """Map architectures that mean the same network to one of them. Default: each is its own."""
        return arch

    def discretize(self, weights: Mapping[str, Sequence[float]]) -> Arch:
        """Turn option weights into an architecture.

        Args:
            weights: One number per option, by choice name. A choice left out counts as uniform.

        Returns:
            The ``k`` heaviest options of every choice, heaviest first; ties go to the earlier option. Those
            that are optional are taken if they weigh something.
        """
        picks = {}
        for choice in self.choices:
            values = weights.get(choice.name, [1.0] * len(choice.options))
            ranked = sorted(range(len(choice.options)), key=lambda i, v=values: (-v[i], i))  # type: ignore[misc]
            taken = [i for n, i in enumerate(ranked[: choice.k]) if n < choice.sizes[0] or values[i] > 0.0]
            picks[choice.name] = tuple(choice.options[i] for i in taken)
        return self.canonical(Arch(picks))

    def size(self) -> int:
        """Return the number of different answers to `choices`."""
        return math.prod(c.count() for c in self.choices)

    def parse(self, text: str) -> Arch:
        """Read an architecture from its name or from a notation. Default: JSON as `notation` prints it.

        Raises:
            ArchError: The text cannot be read, or is not an architecture of this space.
        """
        try:
            picks = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArchError(
                f"{text!r} is not an architecture of {type(self).__name__}: not JSON ({error}). "
                'Write {"choice": "option", …}.'
            ) from None
        if not isinstance(picks, dict):
            raise ArchError(f"{text!r}: an architecture is a JSON object of choice names and options.")
        arch = Arch(picks)
        self.validate(arch)
        return self.canonical(arch)

    def notation(self, arch: Arch) -> str:
        """Write an architecture so that `parse` reads it back. Default: JSON."""
        return json.dumps(arch.to_json())

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return what ``nasforge inspect --svg`` draws of an architecture: its cells. Default: nothing.

        Args:
            arch: An architecture of this space.
        """
        return ()

    def _is_valid(self, arch: Arch) -> bool:
        try:
            self.validate(arch)
        except ArchError:
            return False
        return True

    def lookup(self, arch: Arch, *, test: bool = False) -> Mapping[str, float]:
        """Return what a benchmark's table knows about an architecture. Default: nothing.

        Called after a search, for its result; a search itself never sees it.

        Args:
            arch: An architecture of this space.
            test: Also return test accuracies, if the table has any.
        """
        return {}


@capability("space")
class NetworkSpace(SearchSpace[C]):
    """A space whose architectures can be built, and so can the supernet that holds them all.

    Laws, checked by `nasforge.testing`: at every scale the parameters of a network are some of its supernet's
    by name, whole or as slices (`nasforge.nn.Sliced`), and after `nasforge.nn.copy_shared` it computes what
    the supernet computes under the one-hot weights of its architecture.
    """

    parameter_free: frozenset[str] = frozenset()
    """Options that pass their input on without weights (pooling, skip): a searcher may regularise them."""

    tied: tuple[str, ...] = ()
    """Submodules that networks of all scales may share, such as ``"stem"``."""

    @property
    def reference_task(self) -> Task:
        """Input and output sizes of the space's published networks: for commands that know no data."""
        return Task()

    def build_auxiliary(self, task: Task) -> tuple[nn.Module, int] | None:
        """Build a classifier on an inner feature, for the final training. Default: this space has none.

        Args:
            task: Input and output sizes.

        Returns:
            A module that maps feature maps to logits ``(B, classes)``, and the index of its feature in
            ``Output.features``.
        """
        return None

    @abstractmethod
    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build the network of ``arch``, or without one the supernet of all architectures.

        Args:
            task: Input and output sizes.
            arch: The architecture; None builds every option of every choice.
            scale: ``"search"`` is the shallow, thin network of a search, ``"eval"`` the evaluation network
                inside a search (CDARTS), ``"final"`` the one that is trained from scratch.

        Returns:
            A module that maps ``(images, weights=None)`` to an `Output` and has ``feature_info``.
        """


@capability("space")
@runtime_checkable
class KnownCost(Protocol):
    """A space that knows what its final networks cost without building them."""

    def cost(self, arch: Arch, task: Task) -> Mapping[str, float]:
        """Return the costs, such as ``params`` and ``macs``, that limits and objectives use.

        Args:
            arch: An architecture of this space.
            task: Input and output sizes.
        """


@capability("space")
@runtime_checkable
class PartialChannels(Protocol):
    """A space whose search networks can apply options to a share of the channels (PC-DARTS)."""

    def with_partial_channels(self, share: int) -> Self:
        """Return this space with search networks whose options see one channel in ``share``.

        Args:
            share: Number of groups of channels, of which the options see the first.
        """


@capability("space")
@runtime_checkable
class PlainNetworks(Protocol):
    """A space whose networks can call every layer as a module, instead of computing several at once."""

    def with_plain_networks(self) -> Self:
        """Return this space with networks that hooks can observe and that can be differentiated twice."""


@capability("space")
@runtime_checkable
class SeparateStages(Protocol):
    """A space whose networks have stages with choices of their own."""

    def first_stage_name(self, name: str) -> str:
        """Return the name that a choice of any stage has in the first stage."""


@capability("space")
@runtime_checkable
class TabularSpace(Protocol):
    """A space whose architectures are listed in tables of a benchmark."""

    table_space: str
    """The name that tables of this space carry."""

    def table_key(self, arch: Arch) -> str:
        """Return the key under which tables list ``arch``; raises ArchError if it is of another space."""
