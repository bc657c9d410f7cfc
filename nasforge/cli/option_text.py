"""A plugin's options in words: type, limits, default, description."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nasforge.config import PluginConfig
from nasforge.plugins import Plugin
from nasforge.plugins.capabilities import describe_need
from nasforge.plugins.kinds import GROUPS
from nasforge.recipe.toml_text import to_toml

__all__ = ["describe_options", "table_text"]

_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
_LIMITS = {"gt": "above {}", "ge": "at least {}", "lt": "below {}", "le": "at most {}"}


def describe_options(config: type[PluginConfig]) -> list[dict[str, Any]]:
    """Return name, type, default and description of every option, as JSON data."""
    described = []
    for name, field in config.model_fields.items():
        option = {"name": name, "type": _type_of(field), "required": field.is_required()}
        if not field.is_required():
            option["default"] = _default(field)
        described.append({**option, "description": _one_line(field.description)})
    return described


def table_text(plugin: Plugin) -> str:
    """Write a plugin's options as a TOML table, with its defaults and a comment above each.

    Options that have no value to write, because they must be given or are off by default, are comments.
    """
    about = [plugin.summary] if plugin.summary else []
    if plugin.needs:
        about.append(f"Needs: {', '.join(sorted(map(describe_need, plugin.needs)))}.")
    if plugin.provides:
        about.append(f"Provides: {', '.join(sorted(one.__name__ for one in plugin.provides))}.")
    lines = [f"# {line}" for line in about]
    lines += _head(plugin)
    for option in describe_options(plugin.config):
        lines += ["", *_comment(f"{option['description']} ({option['type']})".strip())]
        if option["required"]:
            lines.append(f"# {option['name']} = …  # must be given")
        elif option["default"] is None:
            lines.append(f"# {option['name']} = …  # not set by default")
        else:
            lines.append(f"{option['name']} = {to_toml(option['default'])}")
    return "\n".join(lines)


def _head(plugin: Plugin) -> list[str]:
    """Return the lines that name the plugin in a recipe."""
    for group, kind in GROUPS.items():
        if kind == plugin.kind:
            return [f"# In [run]: {group} = {to_toml([plugin.name])}", f"[{group}.{plugin.name}]"]
    return [f"[{plugin.kind}]", f"use = {to_toml(plugin.name)}"]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 100)]


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _default(field: FieldInfo) -> Any:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return value


def _type_of(field: FieldInfo) -> str:
    words = _name(field.annotation)
    limits = _limits(field.metadata)
    return f"{words}, {limits}" if limits else words


def _limits(metadata: Any) -> str:
    found = []
    for limit in metadata:
        for name, words in _LIMITS.items():
            if (value := getattr(limit, name, None)) is not None:
                found.append(words.format(value))
    return " and ".join(found)


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Annotated:
        limits = _limits(arguments[1:])
        return f"{_name(arguments[0])} {limits}".rstrip()
    if origin is Literal:
        return " or ".join(map(to_toml, arguments))
    if origin in (Union, UnionType):
        return " or ".join(_name(member) for member in arguments if member is not NoneType)
    if origin in (list, tuple, set, frozenset) or annotation in (list, tuple, set, frozenset):
        members = list(dict.fromkeys(_name(member) for member in arguments if member is not Ellipsis))
        return f"list of {' and '.join(members)}" if members else "list"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(to_toml(member.value) for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | Mapping):
        return "table"
    return getattr(annotation, "__name__", str(annotation))
