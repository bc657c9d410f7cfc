"""The parent class of every plugin's options."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["PluginConfig"]


class PluginConfig(BaseModel):
    """Options of a plugin: typed, frozen, closed, described by the string under each field.

    Example:
        >>> class Options(PluginConfig):
        ...     epochs: int = 50
        ...     '''Passes over the training images.'''
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        protected_namespaces=(),
    )

    def to_json(self) -> dict[str, Any]:
        """Return the options as plain JSON data, defaults included."""
        return self.model_dump(mode="json")
