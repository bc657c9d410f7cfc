"""Capabilities: types that describe what a plugin offers beyond the contract of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from nasforge.arch import Arch, Choice
from nasforge.errors import PluginError

if TYPE_CHECKING:
    from torch import nn

    from nasforge.nn.output import Network
    from nasforge.space import Task

__all__ = [
    "CellTypes",
    "KnownBaseline",
    "Need",
    "NetworkPart",
    "ReducedNetworks",
    "StandaloneParts",
    "capability",
    "describe_need",
    "kind_of",
    "known_capabilities",
    "missing_members",
]

T = TypeVar("T", bound=type)

Need = str | type
"""A kind of plugin (``"data"``), or a capability of one, such as `nasforge.NetworkSpace`."""

_KINDS: dict[type, str] = {}


def capability(kind: str) -> Callable[[T], T]:
    """Declare a class or protocol to be a capability of one kind of plugin.

    Plugins name it in ``provides``, others name it in ``needs``. A protocol must be runtime-checkable.

    Args:
        kind: The kind of plugin that can have it, such as ``"space"``.

    Examples:
        >>> @capability("space")
        ... @runtime_checkable
        ... class HasPictures(Protocol):
        ...     def picture(self, arch: Arch) -> bytes: ...
    """

    def declare(declared: T) -> T:
        _KINDS[declared] = kind
        return declared

    return declare


@capability("space")
@runtime_checkable
class CellTypes(Protocol):
    """A space of several types of cells, whose choices belong to one type each."""

    def cell_of(self, choice: Choice) -> str:
        """Return the type of cell that a choice belongs to, such as ``"normal"``.

        Args:
            choice: A choice of this space.
        """


@capability("space")
@runtime_checkable
class KnownBaseline(Protocol):
    """A space with an architecture to compare with, such as the network that it was made from."""

    @property
    def baseline(self) -> Arch:
        """The architecture; its networks may come with trained weights."""


@capability("space")
@runtime_checkable
class ReducedNetworks(Protocol):
    """A space whose supernets can be built with a part of their options, for searches that prune."""

    def build_reduced(self, task: Task, kept: Mapping[str, Sequence[str]]) -> Network:
        """Build the search network with only the kept options of each choice.

        It takes option weights of the same shapes as the whole supernet; those of options that it lacks count
        as 0. Its parameters have the names that they have in the supernet.

        Args:
            task: Input and output sizes.
            kept: Names of options by choice name; a choice that is left out has all of its options.
        """


@dataclass(frozen=True)
class NetworkPart:
    """A module of the final network that is there if some choices take some options.

    Attributes:
        picks: These choices and options, outermost first; equal combinations of choices come in one order.
        shape: Of its input, for one image.
        make: Builds it, with the options that it depends on; it is called with the input alone. Equal parts
            have the same function, so that they are measured once.
    """

    picks: tuple[tuple[str, str], ...]
    shape: tuple[int, ...]
    make: Callable[[], nn.Module]


@capability("space")
@runtime_checkable
class StandaloneParts(Protocol):
    """A space that says itself of which parts its networks consist, such as one with elastic choices.

    Parameters and MACs of an architecture are those of its parts, and a constant.
    """

    def parts(self, task: Task) -> Iterable[NetworkPart]:
        """Return the parts of all final networks.

        Args:
            task: Input and output sizes.
        """


def kind_of(need: Need) -> str:
    """Return the kind of plugin that a need is about.

    Args:
        need: A kind, or a capability.

    Raises:
        PluginError: The type is not a capability.
    """
    if isinstance(need, str):
        return need
    try:
        return _KINDS[need]
    except (KeyError, TypeError):
        raise PluginError(
            f"{need!r} is not a capability. Decorate the class with @capability(kind), or name a kind."
        ) from None


def known_capabilities(kind: str) -> list[type]:
    """Return the capabilities of a kind of plugin that have been declared so far."""
    return [declared for declared, of in _KINDS.items() if of == kind]


def describe_need(need: Need) -> str:
    """Return a need as text: the kind, and the name of the capability if there is one."""
    return need if isinstance(need, str) else f"{kind_of(need)} with {need.__name__}"


def missing_members(declared: type, offered: type) -> list[str]:
    """Return what a class lacks to have a capability; empty if it has it.

    Args:
        declared: The capability: a protocol, or a class to derive from.
        offered: The class of a plugin.
    """
    if not getattr(declared, "_is_protocol", False):
        return [] if issubclass(offered, declared) else [f"the base class {declared.__name__}"]
    # An attribute that only instances have may be annotated in the class.
    known = {name for base in offered.__mro__ for name in _members(base)}
    wanted = {
        name for base in declared.__mro__ if getattr(base, "_is_protocol", False) for name in _members(base)
    }
    return [f"{name!r}" for name in sorted(wanted - known)]


def _members(one: type) -> Iterable[str]:
    names = {*vars(one), *vars(one).get("__annotations__", {})}
    return {name for name in names if not name.startswith("_")}
