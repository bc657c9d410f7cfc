"""From files, profiles and ``--set`` to one set of tables."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasforge.errors import RecipeError, suggest
from nasforge.plugins.kinds import TABLES
from nasforge.recipe.draft import TOP_TABLES, Draft, Layer, Shares
from nasforge.recipe.shipped import find_recipe, find_shipped, shipped_recipes
from nasforge.recipe.toml_text import key_lines
from nasforge.recipe.wording import MANY

__all__ = ["Overrides", "draft_of_file", "draft_of_mapping", "draft_of_options"]

MOST_FILES = 100
"""Largest number of files that make one recipe. A file that is extended twice counts twice."""

Overrides = Sequence[str] | Mapping[str, Any]
"""``["table.key=value", …]`` with TOML values, or values by dotted key."""


def draft_of_file(source: str | Path, profile: str | None, overrides: Overrides, shares: Shares) -> Draft:
    """Read a recipe, what it extends, a profile and overrides.

    Args:
        source: A path, or the name of a shipped recipe.
        profile: One of its profiles, or one of a recipe it extends.
        overrides: Values that go over everything else.
        shares: See `Draft`.

    Raises:
        RecipeError: A file is missing or no TOML. Other problems are left in the draft.
    """
    path = find_recipe(source)
    reader = _LayerReader(_display(path), shares)
    layers = reader.chain(path, ())
    reader.draft.raise_errors()
    reader.draft.text = reader.text
    _stack(reader.draft, layers, profile, overrides)
    return reader.draft


def draft_of_mapping(
    raw: Mapping[str, Any],
    source: str,
    profile: str | None,
    overrides: Overrides,
    shares: Shares,
    folder: Path | None = None,
) -> Draft:
    """Do the same as `draft_of_file` for a recipe that is a mapping already.

    Args:
        raw: Tables by name.
        source: Its name in messages.
        profile: As in `draft_of_file`.
        overrides: As in `draft_of_file`.
        shares: See `Draft`.
        folder: The run folder it is stored in, where its paths start; None for a recipe of the caller, whose
            paths start in the working directory.

    Raises:
        RecipeError: A file that it extends is missing or no TOML.
    """
    reader = _LayerReader(source, shares)
    reader.draft.stored = folder is not None
    layer = Layer(0, "", raw, folder=folder)
    layers = [*reader.bases(layer, Path.cwd() / "recipe", ()), layer]
    reader.draft.raise_errors()
    _stack(reader.draft, layers, profile, overrides)
    return reader.draft


def draft_of_options(kind: str, options: Overrides, source: str) -> Draft:
    """Make a draft of one table from options without a table's name.

    Args:
        kind: The table that gets them.
        options: Values by name, or ``"option=value"``; ``"kind.option=value"`` is accepted too.
        source: Their name in messages.
    """
    draft = Draft(source)
    draft.tables[kind] = {}
    if isinstance(options, Mapping):
        layer = Layer(0, "", options)
    else:
        prefix = f"{kind}."
        nested = _nest(draft, [prefix + text.removeprefix(prefix) for text in options], 0)
        layer = Layer(0, "--set ", nested.get(kind, {}))
    draft.apply(layer, layer.body, at=(kind,))
    return draft


class _LayerReader:
    """Follows ``extends``; the layers come in the order in which they are laid over each other."""

    def __init__(self, source: str, shares: Shares) -> None:
        self.draft = Draft(source, shares=shares)
        self.text = ""
        self.read = 0

    def chain(self, path: Path, above: tuple[Path, ...]) -> list[Layer]:
        order, self.read = self.read, self.read + 1
        label = f"{_display(path)}, " if above else ""
        if order >= MOST_FILES:
            self._refuse_size()
        try:
            text = path.read_bytes().decode("utf-8")
            layer = Layer(order, label, tomllib.loads(text), key_lines(text), path.resolve().parent)
        except (OSError, ValueError, RecursionError) as error:
            self.draft.add_unplaced_error(order, f"{label}{_unreadable(error)}")
            return []
        if not above:
            self.text = text
        return [*self.bases(layer, path, (*above, path.resolve())), layer]

    def bases(self, layer: Layer, path: Path, above: tuple[Path, ...]) -> list[Layer]:
        written = layer.body.get("extends", [])
        names = [written] if isinstance(written, str) else written
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            self.draft.add_error_in(
                layer, ("extends",), "must be a file or recipe name in quotes, or a list of them."
            )
            return []
        if len(names) > MOST_FILES:
            self._refuse_size()
        layers: list[Layer] = []
        for name in names:
            found = _extended(path, name)
            if found is None:
                known = [recipe.name for recipe in shipped_recipes()]
                self.draft.add_error_in(
                    layer,
                    ("extends",),
                    f"no file {name!r} beside it, nor a shipped recipe.{suggest(name, known)}",
                )
            elif found.resolve() in above:
                circle = [p.name for p in (*above[above.index(found.resolve()) :], found)]
                self.draft.add_error_in(
                    layer, ("extends",), f"a circle: {' extends '.join(circle)}. Break it."
                )
            else:
                layers += self.chain(found, above or (path,))
        return layers

    def _refuse_size(self) -> None:
        """End the reading at once: files that extend another one twice double its layers each time."""
        problem = f"extends: this recipe is made of more than {MOST_FILES} files. Extend each file once."
        raise RecipeError(self.draft.source, [problem])


def _extended(path: Path, name: str) -> Path | None:
    for beside in (path.parent / name, path.parent / f"{name}.toml"):
        # A copy of a shipped recipe may extend the original, which has its own name.
        itself = beside.resolve() == path.resolve() and find_shipped(name) not in (None, beside)
        if beside.is_file() and not itself:
            return beside
    return find_shipped(name)


def _stack(draft: Draft, layers: Sequence[Layer], profile: str | None, overrides: Overrides) -> None:
    chosen: list[tuple[Layer, Mapping[str, Any], Mapping[str, Any]]] = []
    names: list[str] = []
    for layer in layers:
        draft.apply(layer, {k: v for k, v in layer.body.items() if k not in ("extends", "profiles")})
        profiles = layer.body.get("profiles", {})
        if not isinstance(profiles, Mapping):
            draft.add_error_in(layer, ("profiles",), "must hold tables such as [profiles.smoke.data].")
            continue
        for name, body in profiles.items():
            if not isinstance(body, Mapping):
                draft.add_error_in(
                    layer, ("profiles", name), f"must hold tables such as [profiles.{name}.data]."
                )
                continue
            names.append(name)
            if name == profile:
                chosen.append((layer, body, _uses(draft)))
            else:
                for number, table in enumerate(table for table in body if table not in TOP_TABLES):
                    hint = suggest(table, TOP_TABLES) if number < MANY else ""
                    draft.add_error_in(layer, ("profiles", name, table), f"no such table.{hint}")
    draft.profiles = tuple(dict.fromkeys(names))
    for layer, body, uses in chosen:
        draft.apply(layer, _meant_for(draft, body, uses), written=("profiles", str(profile)))
    last = len(layers) + 1000
    if profile is not None and profile not in names:
        known = suggest(profile, names) or " This recipe has no profiles."
        draft.add_error_in(Layer(last, "--profile ", {}), (profile,), f"no such profile.{known}")
    override = Layer(last + 1, "--set ", _nest(draft, overrides, last + 1))
    draft.apply(override, override.body)


def _uses(draft: Draft) -> dict[str, Any]:
    """Return which plugin each table uses so far."""
    tables = {name: draft.table(name) for name in TOP_TABLES}
    return {name: body.get("use") for name, body in tables.items() if isinstance(body, Mapping)}


def _meant_for(draft: Draft, body: Mapping[str, Any], uses: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile without the options that mean something to the plugins of its own file only."""
    now = _uses(draft)
    return {
        name: draft.common(name, options, uses[name], now[name])
        if name in TABLES
        and isinstance(options, Mapping)
        and "use" not in options
        and uses.get(name) not in (None, now.get(name))
        else options
        for name, options in body.items()
    }


def _nest(draft: Draft, overrides: Overrides, order: int) -> dict[str, Any]:
    """Turn dotted keys into nested tables; the last of several for one key counts."""
    nested: dict[str, Any] = {}
    pairs: list[tuple[str, Any]]
    if isinstance(overrides, Mapping):
        pairs = list(overrides.items())
    else:
        pairs = [(text, _value(text)) for text in overrides]
    for text, value in pairs:
        keys = tuple(key.strip() for key in text.partition("=")[0].split("."))
        is_pair = isinstance(overrides, Mapping) or "=" in text
        if not is_pair or not all(keys) or (len(keys) == 1 and not isinstance(value, Mapping)):
            layer = Layer(order, "--set ", {})
            draft.add_error_in(layer, (text,), "write table.key=value, such as searcher.epochs=2.")
            continue
        if len(keys) == 1:
            nested[keys[0]] = {**nested.get(keys[0], {}), **value}
            continue
        inner = nested
        for key in keys[:-1]:
            if not isinstance(inner.get(key), dict):
                inner[key] = {}
            inner = inner[key]
        inner[keys[-1]] = value
    return nested


def _value(text: str) -> Any:
    """Read what stands behind ``=`` as TOML; what is none is text, so that quotes may be left out."""
    written = text.partition("=")[2].strip()
    try:
        parsed = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError):  # a number of thousands of digits is text too, and then refused
        return written
    return parsed["value"] if len(parsed) == 1 else written


def _unreadable(error: Exception) -> str:
    if isinstance(error, tomllib.TOMLDecodeError):
        match = re.fullmatch(
            r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL
        )
        what = match[1] if match else str(error)
        place = f"line {match[2]}, column {match[3]}" if match and match[2] else "end of the file"
        return f"{place}: not valid TOML: {what[:1].lower()}{what[1:]}."
    if isinstance(error, UnicodeDecodeError):
        return f"not valid TOML: byte {error.start} is not UTF-8. Save the file as UTF-8."
    if isinstance(error, RecursionError):
        return "not valid TOML for a recipe: brackets are nested hundreds of levels deep."
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}."
    # Python reads no number that long, see sys.set_int_max_str_digits.
    return "not valid TOML for a recipe: a number has thousands of digits."


def _display(path: Path) -> str:
    """Name a file the short way: relative to the working directory where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return min(str(path), relative, key=len)
