"""Errors of pydantic in the words of this project."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nasforge.config import walk_options
from nasforge.errors import suggest
from nasforge.plugins.masking import MASK, is_secret
from nasforge.recipe.toml_text import to_toml

__all__ = ["MANY", "Location", "group_errors", "word_errors"]

Location = tuple[str | int, ...]
"""Keys and indices below a table."""

# What was expected, by pydantic's error type; several are joined for a union of types.
_EXPECTED: dict[str, str] = {
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
        "a whole number",
    ),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), "text in quotes"),
    **dict.fromkeys(("path_type",), "a path in quotes"),
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list such as [1, 2]"
    ),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a table"),
    "none_required": "left out",
    "finite_number": "a finite number",
}

_LIMITS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda ctx: f"greater than {_plain(ctx['gt'])}",
    "greater_than_equal": lambda ctx: f"at least {_plain(ctx['ge'])}",
    "less_than": lambda ctx: f"less than {_plain(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"at most {_plain(ctx['le'])}",
    "multiple_of": lambda ctx: f"a multiple of {_plain(ctx['multiple_of'])}",
    "too_short": lambda ctx: f"a list of at least {ctx['min_length']} (it has {ctx['actual_length']})",
    "too_long": lambda ctx: f"a list of at most {ctx['max_length']} (it has {ctx['actual_length']})",
    "string_too_short": lambda ctx: f"text of at least {ctx['min_length']} characters",
    "string_too_long": lambda ctx: f"text of at most {ctx['max_length']} characters",
    "string_pattern_mismatch": lambda ctx: f"text of the form {ctx['pattern']}",
}

_NAMES = frozenset({"literal_error", "enum"})


def group_errors(
    error: ValidationError, model: type[BaseModel], body: Mapping[str, Any]
) -> dict[Location, list[ErrorDetails]]:
    """Sort what a validation found by the place the user knows.

    Args:
        error: The error of pydantic.
        model: The class of the options.
        body: The user's table, as plain data.

    Returns:
        Errors by location below the table; those of the table as a whole have the location ``()``.
    """
    grouped: dict[Location, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        grouped.setdefault(_locate(details, model, body), []).append(details)
    # pydantic counts valid items only, so a wrong item may make a list "too short" as well.
    lists = {where[:-1] for where in grouped if where and isinstance(where[-1], int)}
    return {
        where: found
        for where, found in grouped.items()
        if where not in lists or any(details["type"] != "too_short" for details in found)
    }


MANY = 100
"""Problems of one table whose words are looked up; a message shows fewer, and looking up costs time."""


def word_errors(
    grouped: Mapping[Location, Sequence[ErrorDetails]], model: type[BaseModel]
) -> list[tuple[Location, str]]:
    """Word every group of errors.

    Args:
        grouped: The result of `group_errors`.
        model: The class of the options.

    Returns:
        Pairs of a location and a sentence.
    """
    return [
        (where, _word(where, found, model) if number < MANY else "is wrong as well.")
        for number, (where, found) in enumerate(grouped.items())
    ]


def _locate(details: ErrorDetails, model: type[BaseModel], body: Any) -> Location:
    """Cut what pydantic adds to a location, such as the member of a union, off its end."""
    found: list[str | int] = []
    for step in details["loc"]:
        inside = (isinstance(body, Mapping) and step in body) or (
            isinstance(body, list) and isinstance(step, int) and step < len(body)
        )
        if not inside:
            if details["type"] in ("missing", "missing_argument") or (
                not found and step in model.model_fields
            ):
                found.append(step)
            break
        found.append(step)
        body = body[step]
    return tuple(found)


def _word(where: Location, found: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    # Where a value fits one member of a union by type, only the complaint about its size is of interest.
    of_interest = [d for d in found if d["type"] not in {*_EXPECTED, *_NAMES}] or list(found)
    details = of_interest[0]
    kind, value = details["type"], details["input"]
    quoted = MASK if is_secret(".".join(map(str, where))) else _quote(value)
    if kind == "extra_forbidden":
        home = _suggest_table(str(where[-1]), model)
        return f"no such option.{home or suggest(str(where[-1]), _options(model, where[:-1]))}"
    if kind == "missing":
        return "this option must be given; it has no default."
    if kind in ("value_error", "assertion_error"):
        message = re.sub(r"^(Value|Assertion) error, ", "", details["msg"]).rstrip(".")
        # A complaint about several options together comes with the whole table as its input.
        return f"{message}." if isinstance(value, Mapping) else f"{message}, got {quoted}."
    if kind in _LIMITS:
        return f"must be {_LIMITS[kind](details['ctx'])}, got {quoted}."
    if kind in _EXPECTED or kind in _NAMES:
        expected = " or ".join(dict.fromkeys(map(_expected, of_interest)))
        return f"must be {expected}, got {quoted}.{_advise(of_interest, value)}"
    message = details["msg"].rstrip(".")
    return f"{message[:1].lower()}{message[1:]}, got {quoted}."


def _expected(details: ErrorDetails) -> str:
    if details["type"] in _EXPECTED:
        return _EXPECTED[details["type"]]
    names: str = details["ctx"]["expected"]
    return f"one of {names}" if " or " in names else names


def _plain(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _quote(value: Any) -> str:
    text = to_toml(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


LONGEST = 1000
"""Characters of a number. Longer ones, which Python does not read, became text without quotes."""


def _advise(found: Sequence[ErrorDetails], value: Any) -> str:
    """Point at the commonest reasons: a misspelt name, quotes where none belong."""
    kinds = {d["type"].partition("_")[0] for d in found}
    if isinstance(value, str):
        listed = " ".join(d["ctx"]["expected"] for d in found if d["type"] in _NAMES)
        near = suggest(value, re.findall(r"'([^']*)'", listed))
        if near.startswith(" Did you mean"):
            return near
        word = value.strip().lower() if len(value) < LONGEST else ""
        if kinds & {"int", "float"} and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word):
            return " Leave out the quotes."
        if "bool" in kinds and word in ("true", "false", "yes", "no", "on", "off"):
            return " Write true or false without quotes."
    return ""


def _suggest_table(name: str, model: type[BaseModel]) -> str:
    """Return a hint if an option stands in the wrong table: a TOML table ends where the next begins."""
    homes = [path[:-1] for path, _ in walk_options(model) if path[-1] == name]
    if len(homes) != 1:
        return ""
    if not homes[0]:
        return f" It is an option of the table itself: write {name!r} above its sub-tables."
    return f" It belongs into the sub-table {'.'.join(homes[0])!r}."


def _options(model: type[BaseModel], path: Location) -> list[str]:
    """Names of the options of the model at ``path``; none where that is not a model."""
    at: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, int):
            continue
        field = at.model_fields.get(step) if at else None
        at = _model_in(field.annotation) if field else None
    return list(at.model_fields) if at else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a))), None)
