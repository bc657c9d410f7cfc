"""Modules to be written: their members, and the statements of their forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nasforge.exports.standalone.layers import TorchLayer

__all__ = ["Block", "Chain", "Member", "Statement", "Weight"]


@dataclass(frozen=True)
class Weight:
    """A parameter or buffer of a module that is not a layer.

    Attributes:
        shape: Its shape.
        dtype: Its type, such as ``"torch.float32"``.
        trained: Whether it is a parameter.
    """

    shape: tuple[int, ...]
    dtype: str
    trained: bool


@dataclass(frozen=True)
class Chain:
    """A `torch.nn.Sequential`; its members are in the order in which they run."""

    members: tuple[Member, ...]


@dataclass(frozen=True)
class Statement:
    """A line of a forward pass.

    Attributes:
        code: The line.
        shape: Shape of what it assigns, as text; ``N`` is the batch.
    """

    code: str
    shape: str


@dataclass
class Block:
    """A module with a forward pass of its own.

    Attributes:
        kind: Name of the class it was recorded from.
        inputs: Names of the arguments of its forward pass.
        members: Layers, blocks and weights by name of the attribute.
        statements: The forward pass, without the last line.
        result: The expression that is returned.
        shape: Its shape.
    """

    kind: str
    inputs: tuple[str, ...]
    members: dict[str, Member] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    result: str = ""
    shape: str = ""


@dataclass(frozen=True)
class Member:
    """A part of a module.

    Attributes:
        what: The part.
        path: Dotted path of the module or weight it stands for.
    """

    what: TorchLayer | Weight | Chain | Block
    path: str

    def key(self) -> Any:
        """Return a value that is equal for parts that may differ in the arguments of layers only."""
        what = self.what
        if isinstance(what, TorchLayer):
            return ("layer", what.kind)
        if isinstance(what, Weight):
            return ("weight", what.dtype, what.trained, len(what.shape))
        if isinstance(what, Chain):
            return ("chain", tuple(member.key() for member in what.members))
        members = tuple((name, member.key()) for name, member in what.members.items())
        lines = tuple(statement.code for statement in what.statements)
        return ("block", what.kind, what.inputs, members, lines, what.result)
