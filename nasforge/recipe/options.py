"""Check a table against a plugin's options: strict about types, at ease with what TOML cannot write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from nasforge.config import PluginConfig, sub_tables
from nasforge.recipe.toml_text import to_toml
from nasforge.recipe.wording import Location, group_errors, word_errors

if TYPE_CHECKING:
    from nasforge.plugins import Plugin
    from nasforge.recipe.draft import Draft

__all__ = ["check_options", "validate"]

M = TypeVar("M", bound=PluginConfig)

LARGEST = 2**63 - 1
"""The largest whole number in a tensor."""

_TOO_LARGE = f"must be at most {LARGEST} (2^63 - 1), the largest whole number that can be computed with."

# Python types that plain data has no form of its own for.
_FORMS = frozenset(
    {"tuple_type", "set_type", "frozen_set_type", "is_instance_of", "bytes_type"}
    | {"date_type", "datetime_type", "time_type"}
)


def validate(model: type[M], body: Mapping[str, Any]) -> tuple[M | None, list[tuple[Location, str]]]:
    """Make options from what the user wrote.

    No number is made of text, and no truth of a number. Whole numbers are numbers, though, lists become
    tuples, and text becomes a path or a date.

    Args:
        model: The class of the options.
        body: Their values.

    Returns:
        The options, or None and what is wrong: pairs of a location below the table and a sentence.
    """
    text = json.dumps(body, default=str)
    plain = json.loads(text)
    try:
        return model.model_validate_json(text, strict=True), []
    except ValidationError as error:
        if filled := _with_default_paths(error, model, plain):
            return validate(model, filled)
        groups = group_errors(error, model, plain)
    forms = {where: found for where, found in groups.items() if any(map(_is_form, found))}
    if not forms:
        return None, word_errors(groups, model)
    # A validator of the model that returns a dict makes pydantic forget that the data was JSON, and refuse
    # a list for a tuple. So all other mistakes are reported, and without any the list is accepted.
    others = {where: found for where, found in groups.items() if where not in forms}
    try:
        options = model.model_validate_json(text)
    except ValidationError as error:
        others |= {w: f for w, f in group_errors(error, model, plain).items() if w not in others}
        return None, word_errors(others, model)
    others |= {w: f for w, f in forms.items() if not _kept(_at(plain, w), _at(options, w))}
    return (None, word_errors(others, model)) if others else (options, [])


def check_options(
    draft: Draft, table: str, model: type[PluginConfig], plugin: Plugin | None, body: Mapping[str, Any]
) -> PluginConfig | None:
    """Make the options of a table; what is wrong is noted in its draft.

    Args:
        draft: The recipe.
        table: Where the options stand, such as ``"train.distiller"``.
        model: The class of the options.
        plugin: Whose they are, if they are a plugin's.
        body: Their values.

    Returns:
        The options; None if something is wrong.
    """
    path = table.split(".")
    body, moved = _settle(model, body)
    for where, value, (*tables, name) in moved:
        written = to_toml(value)
        written = written if len(written) <= 60 else "…"
        home = ".".join([table, *tables])
        draft.add_error((*path, *where), f"has moved. Write {name} = {written} below [{home}].")
    try:
        options, problems = validate(model, body)
    except Exception as error:  # a validator of a third-party plugin
        origin = f" of {plugin.origin}" if plugin else ""
        draft.add_error(path, f"checking these options failed{origin}: {type(error).__name__}: {error}.")
        return None
    known = {where for where, _ in problems}
    problems += [(where, _TOO_LARGE) for where in _too_large(body) if where not in known]
    for where, message in problems:
        draft.add_error((*path, *where), message)
    return None if moved or problems else options


def _too_large(value: Any, at: Location = ()) -> Iterator[Location]:
    """Yield the places of whole numbers that neither tensors nor files hold."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _too_large(inner, (*at, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _too_large(inner, (*at, index))
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield at


def _settle(
    model: type[BaseModel], body: Mapping[str, Any], at: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[tuple[Location, Any, tuple[str, ...]]]]:
    """Put options that were written at an old place where they are now, so that the rest can be checked.

    Args:
        model: The class of the options.
        body: Their values.
        at: Path of both below the plugin's table.

    Returns:
        The values, and of every option that has moved its old path, its value and its new path.
    """
    settled, inner = dict(body), sub_tables(model)
    found: list[tuple[Location, Any, tuple[str, ...]]] = []
    for old, new in getattr(model, "moved_options", {}).items():
        # A sub-table may have the name that an option had before.
        if old not in body or (old in model.model_fields and isinstance(body[old], Mapping)):
            continue
        value = settled.pop(old)
        *tables, name = new.split(".")
        found.append(((*at, old), value, (*at, *tables, name)))
        target = settled
        for table in tables:
            below = target.get(table)
            target[table] = dict(below) if isinstance(below, Mapping) else {}
            target = target[table]
        target.setdefault(name, value)
    for name, table in inner.items():
        if isinstance(settled.get(name), Mapping):
            settled[name], more = _settle(table, settled[name], (*at, name))
            found += more
    return settled, found


def _with_default_paths(
    error: ValidationError, model: type[BaseModel], body: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values with the defaults that hold paths, if the error is about such defaults; else nothing.

    Pydantic checks defaults as if they came from JSON, where a path is text.
    """
    filled: dict[str, Any] = deepcopy(dict(body))
    for details in error.errors():
        if isinstance(details["input"], PurePath):
            _fill_default(filled, model, details["loc"])
    return {} if filled == body else filled


def _fill_default(values: dict[str, Any], model: type[BaseModel], where: Location) -> None:
    """Write the default of the option at a location into the values, as JSON has it."""
    for step in map(str, where):
        if step not in values:
            default = model.model_fields[step].get_default(call_default_factory=True)
            values[step] = to_jsonable_python(default)
            return
        inner = sub_tables(model).get(step)
        if inner is None or not isinstance(values[step], dict):
            return
        values, model = values[step], inner


def _is_form(details: ErrorDetails) -> bool:
    accepted = list if details["type"] in ("tuple_type", "set_type", "frozen_set_type") else str
    return details["type"] in _FORMS and isinstance(details["input"], accepted)


def _at(value: Any, where: Location) -> Any:
    for step in where:
        value = getattr(value, str(step)) if isinstance(value, PluginConfig) else value[step]
    return value


def _kept(written: Any, made: Any) -> bool:
    """Whether no text became a number, and so on, on the way."""
    if isinstance(written, list) and isinstance(made, list | tuple):
        return all(_kept(w, m) for w, m in zip(written, made, strict=True))
    if isinstance(written, list):  # a set has lost the order
        return all(any(w == m and _kept(w, m) for m in made) for w in written)
    if isinstance(written, bool) or isinstance(made, bool):
        return type(written) is type(made)
    if isinstance(written, str):
        return not isinstance(made, int | float)
    return not (isinstance(written, float) and isinstance(made, int))
