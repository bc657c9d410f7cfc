"""Conventions of published search methods about cells, and the options of spaces that follow them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

from nasforge.config import PluginConfig

__all__ = ["CellConventions", "CellSpaceConfig"]


@dataclass(frozen=True, slots=True)
class CellConventions:
    """The cells that the published code of a method searches; None where the space decides.

    The `Plugin` of a searcher states them, and a space whose options are a `CellSpaceConfig` takes them for
    the options that a recipe leaves unset.

    Attributes:
        pool_batch_norm: Whether poolings of the search network end in a batch norm without scale and shift.
        final_pool_batch_norm: The same of the network that is trained at the end.
        allow_none: Whether edges of the search network have the operation ``none``.
        node_inputs: How many operations a node adds, and how they are read from option weights; the space
            has a word for each rule.
    """

    pool_batch_norm: bool | None = None
    final_pool_batch_norm: bool | None = None
    allow_none: bool | None = None
    node_inputs: str | None = None

    def stated(self) -> Iterator[tuple[str, bool | str]]:
        """Yield name and value of every convention that is not None."""
        for field in fields(self):
            if (value := getattr(self, field.name)) is not None:
                yield field.name, value


class CellSpaceConfig(PluginConfig):
    """Options of a space of cells, some of which follow the published code of the searcher.

    These have the name of a convention and the default None. Recipes are checked with the values that result,
    so all stages and all later commands see the same.

    Examples:
        >>> class Options(CellSpaceConfig):
        ...     pool_batch_norm: bool | None = None
        >>> Options().with_conventions(CellConventions(pool_batch_norm=True)).pool_batch_norm
        True
    """

    def with_conventions(self, conventions: CellConventions) -> Self:
        """Return these options; those that are None take the value of the convention of the same name.

        Args:
            conventions: Of the searcher.
        """
        known = type(self).model_fields
        unset = {n: v for n, v in conventions.stated() if n in known and getattr(self, n) is None}
        return type(self)(**{**self.model_dump(), **unset})
