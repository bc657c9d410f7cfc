"""A plugin's options in words: type, limits, default, description."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nasforge.config import PluginConfig, read_descriptions, sub_tables
from nasforge.errors import PluginError, suggest
from nasforge.plugins import Plugin
from nasforge.plugins.capabilities import describe_need
from nasforge.plugins.kinds import GROUPS
from nasforge.recipe.toml_text import to_toml

__all__ = ["describe_options", "page_text", "table_text"]

PAGE = 40
"""Lines of a page that `page_text` writes, at most."""

WIDTH = 110
"""Columns of a page. A shorter terminal wraps comments, which does no harm."""

_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
_LIMITS = {"gt": "above {}", "ge": "at least {}", "lt": "below {}", "le": "at most {}"}


def describe_options(config: type[BaseModel]) -> list[dict[str, Any]]:
    """Return name, type, default and description of every option, as JSON data.

    Options that a class adds come before those of its parents. A sub-table also has ``options``, described in
    the same way.
    """
    read_descriptions(config)
    described, inner = [], sub_tables(config)
    parents = [c for c in config.__mro__ if issubclass(c, BaseModel)]
    distance = {n: max(i for i, c in enumerate(parents) if n in c.model_fields) for n in config.model_fields}
    for name, field in sorted(config.model_fields.items(), key=lambda item: distance[item[0]]):
        option: dict[str, Any] = {"name": name, "type": _type_of(field), "required": field.is_required()}
        if not field.is_required():
            option["default"] = _default(field)
        option["description"] = _one_line(field.description)
        if name in inner:
            option["options"] = describe_options(inner[name])
        described.append(option)
    return described


def page_text(plugin: Plugin) -> str:
    """Write a plugin's options on one page: a line for each, and a short list for sub-tables.

    The page is TOML to paste. Options without a value, and those of sub-tables, are in comments.
    """
    options = describe_options(plugin.config)
    plain = [option for option in options if "options" not in option]
    tables = [option for option in options if "options" in option]
    lines = [*_about(plugin), *_heading(plugin)]
    written = [f"{'# ' if _value(o) == '…' else ''}{o['name']} = {_value(o)}" for o in plain]
    column = min(32, max(map(len, written), default=0)) + 2
    lines += [
        f"{text.ljust(column)}# {_brief(option, WIDTH - max(column, len(text)))}"
        for option, text in zip(plain, written, strict=True)
    ]
    shown = [list(_compact(plugin.kind, option)) for option in tables]
    if len(lines) + sum(map(len, shown)) >= PAGE:
        # Then only the sub-tables with defaults of this plugin's own are written out.
        classes = sub_tables(plugin.config)
        kept = [_has_own_defaults(classes[option["name"]]) for option in tables]
        shown = [text if keep else text[:1] for text, keep in zip(shown, kept, strict=True)]
    lines += [line for text in shown for line in text]
    inner = next((option["name"] for option in tables), None)
    one = f"; of one sub-table: nasforge plugins show {plugin.name} {inner}" if inner else ""
    return "\n".join(
        [*lines, f"# Types and full descriptions: nasforge plugins show {plugin.name} --all{one}"]
    )


def table_text(plugin: Plugin, table: str | None = None) -> str:
    """Write a plugin's options as TOML tables, with defaults, and description and type of each as a comment.

    Options that have no value to write, because they must be given or are off by default, are comments.

    Args:
        plugin: The plugin.
        table: A sub-table, written alone; None writes everything.

    Raises:
        PluginError: There is no such sub-table.
    """
    options = describe_options(plugin.config)
    tables = {option["name"]: option for option in options if "options" in option}
    if table is not None:
        if table not in tables:
            hint = suggest(table, tables) if tables else " It has no sub-tables."
            raise PluginError(f"{plugin.kind} {plugin.name!r} has no sub-table {table!r}.{hint}")
        return "\n".join(_sub_table(plugin.kind, tables[table]))
    lines = [*_about(plugin), *_heading(plugin)]
    lines += [line for option in options if "options" not in option for line in ("", *_described(option))]
    lines += [line for option in tables.values() for line in ("", *_sub_table(plugin.kind, option))]
    return "\n".join(lines)


def _has_own_defaults(config: type[BaseModel]) -> bool:
    """Return whether options were derived from a class with other defaults."""
    classes = [c for c in config.__mro__ if issubclass(c, PluginConfig) and c is not PluginConfig]
    return len(classes) > 1


def _about(plugin: Plugin) -> list[str]:
    about = [plugin.summary] if plugin.summary else []
    if plugin.needs:
        about.append(f"Needs: {', '.join(sorted(map(describe_need, plugin.needs)))}.")
    if plugin.provides:
        about.append(f"Provides: {', '.join(sorted(one.__name__ for one in plugin.provides))}.")
    return [f"# {line}" for line in about]


def _heading(plugin: Plugin) -> list[str]:
    """Return the lines that name the plugin in a recipe."""
    for group, kind in GROUPS.items():
        if kind == plugin.kind:
            return [f"# In [run]: {group} = {to_toml([plugin.name])}", f"[{group}.{plugin.name}]"]
    return [f"[{plugin.kind}]", f"use = {to_toml(plugin.name)}"]


def _sub_table(home: str, option: Mapping[str, Any]) -> list[str]:
    name = f"{home}.{option['name']}"
    lines = [*_comment(option["description"]), f"[{name}]"]
    inner = [o for o in option["options"] if "options" not in o]
    lines += [line for o in inner for line in _described(o)]
    deeper = [o for o in option["options"] if "options" in o]
    return [*lines, *(line for o in deeper for line in ("", *_sub_table(name, o)))]


def _described(option: Mapping[str, Any]) -> list[str]:
    return [*_comment(f"{option['description']} ({option['type']})".strip()), _assignment(option)]


def _compact(home: str, option: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sub-table as comments: what it is for, then all of its options."""
    name = f"{home}.{option['name']}"
    yield f"# [{name}]  {_brief(option, WIDTH - len(name) - 6)}"
    plain = [o for o in option["options"] if "options" not in o]
    values = ", ".join(f"{o['name']} = {_value(o)}" for o in plain)
    yield from textwrap.wrap(values, WIDTH, initial_indent="#     ", subsequent_indent="#     ")
    for inner in option["options"]:
        if "options" in inner:
            yield from _compact(name, inner)


def _value(option: Mapping[str, Any]) -> str:
    return "…" if option["required"] or option["default"] is None else to_toml(option["default"])


def _assignment(option: Mapping[str, Any]) -> str:
    """Return an option as a line of TOML; an option without a value becomes a comment."""
    if option["required"]:
        return f"# {option['name']} = …  # must be given"
    if option["default"] is None:
        return f"# {option['name']} = …  # not set by default"
    return f"{option['name']} = {to_toml(option['default'])}"


def _brief(option: Mapping[str, Any], room: int) -> str:
    """Return the first sentence of a description, cut where the line ends."""
    first = re.split(r"(?<=\.)\s+(?=[^a-z])|;\s", option["description"], maxsplit=1)[0].rstrip(".")
    if option["required"]:
        first = f"Must be given. {first}"
    elif option["default"] is None:
        first = f"Not set. {first}"
    return textwrap.shorten(first, max(room, 20), placeholder=" …")


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
