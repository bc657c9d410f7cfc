"""A JSON Schema of recipes with the plugins that are installed, for editors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from nasforge.config import PluginConfig, read_descriptions, sub_tables
from nasforge.constraints import ConstraintsConfig
from nasforge.plugins import Plugin, Registry
from nasforge.plugins.kinds import GROUPS, KINDS, TABLES, inner_tables, table_abouts
from nasforge.recipe import RunConfig
from nasforge.recipe.bench_table import BenchConfig
from nasforge.recipe.draft import TOP_TABLES
from nasforge.recipe.export_table import ExportConfig
from nasforge.recipe.latency_table import LatencyConfig
from nasforge.recipe.local_modules import LocalModulesConfig

__all__ = ["TITLE", "recipe_schema"]

TITLE = "nasforge recipe"

_PLAIN: Mapping[str, type[PluginConfig]] = {
    "run": RunConfig,
    "plugins": LocalModulesConfig,
    "constraints": ConstraintsConfig,
    "latency": LatencyConfig,
    "export": ExportConfig,
    "bench": BenchConfig,
}
"""Tables that are no plugin's."""

_ABOUT = {
    "data": "The images, and who may use which.",
    "space": "The architectures to choose from.",
    "searcher": "What finds the architecture.",
    "distiller": "How the networks of a search teach each other.",
    "evaluator": "What scores the architectures that a searcher proposes.",
    "evaluator.base": "The evaluator that the one in [evaluator] builds on.",
    "train": "How the found architecture is trained from scratch.",
    "train.distiller": "How a finished network teaches the one that is trained.",
}


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """Describe every table and option that a recipe may have.

    A table is valid if its options are those of the plugin that ``use`` names. Every table and option may be
    left out, since it may come from what the recipe extends; a table without ``use`` may have the options of
    every plugin of its kind. Needs between plugins are not described: `nasforge check` knows them.

    Args:
        registry: The plugins; names that are claimed twice are left out.

    Returns:
        A schema of draft 7, the one that editors for TOML know.
    """
    definitions: dict[str, Any] = {}
    plain = {name: _options(config, name, definitions) for name, config in _PLAIN.items()}
    tables = {name: {**options, "additionalProperties": False} for name, options in plain.items()}
    for name in reversed(list(TABLES)):  # what lies inside a table first
        inside = {inner.rpartition(".")[2]: _ref(inner) for inner in inner_tables(name)}
        tables[name] = _table(TABLES[name], table_abouts()[name], registry, inside, definitions)
    for name, kind in GROUPS.items():
        tables[kind] = _table(kind, KINDS[kind].about, registry, {}, definitions)
        tables[name] = _group(table_abouts()[name], tables[kind]["oneOf"][:-1], _ref(kind))
    definitions |= tables
    top = {name: _ref(name) for name in TOP_TABLES}
    profile = {"type": "object", "properties": top, "additionalProperties": False}
    definitions["profile"] = {**profile, "description": "Laid over the recipe by --profile."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "type": "object",
        "properties": {
            "extends": {
                "description": "Recipe files, or names of shipped recipes, over which this one is laid.",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
            **top,
            "profiles": {
                "description": "Variants of the recipe by name: [profiles.smoke.data] and so on.",
                "type": "object",
                "additionalProperties": _ref("profile"),
            },
        },
        "additionalProperties": False,
        "definitions": definitions,
    }


def _table(
    kind: str, about: str, registry: Registry, inside: Mapping[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    plugins = registry.of(kind)
    variants: list[dict[str, Any]] = []
    known: dict[str, list[Any]] = {}
    for plugin in plugins:
        options = _plugin_options(plugin, definitions)
        use = {"const": plugin.name, "description": plugin.summary or plugin.name}
        properties = {"use": use, **options["properties"], **inside}
        closed = options.get("additionalProperties", False)
        variants.append(
            {
                "title": plugin.name,
                "description": plugin.summary or plugin.name,
                "properties": properties,
                "required": ["use"],
                "additionalProperties": closed,
            }
        )
        for name, option in options["properties"].items():
            if option not in known.setdefault(name, []):
                known[name].append(option)
    merged = {n: found[0] if len(found) == 1 else {"anyOf": found} for n, found in known.items()}
    partial = {
        "title": f"more options for the {kind} of another file",
        "properties": {**merged, **inside},
        "additionalProperties": False,
    }
    return {
        "description": about,
        "type": "object",
        "oneOf": [*variants, partial],
    }


def _group(about: str, variants: list[dict[str, Any]], other: dict[str, Any]) -> dict[str, Any]:
    """Describe a table of tables: one with the name of a plugin has its options, unless ``use`` differs."""
    named = {}
    for variant in variants:
        others = [one for one in variants if one is not variant]
        own = {key: value for key, value in variant.items() if key != "required"}
        named[variant["title"]] = {"oneOf": [own, *others]}
    return {"description": about, "type": "object", "properties": named, "additionalProperties": other}


def _plugin_options(plugin: Plugin, definitions: dict[str, Any]) -> dict[str, Any]:
    try:
        return _options(plugin.config, f"{plugin.kind}.{plugin.name}", definitions)
    except Exception as error:  # options of types that JSON has no word for
        warnings.warn(
            f"{plugin.kind} {plugin.name!r} ({plugin.origin}): its options are left out of the schema: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            stacklevel=2,
        )
        return {"properties": {}, "additionalProperties": True}


def _options(config: type[PluginConfig], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe a class of options; nested classes go to ``definitions``, since their names may clash."""
    read_descriptions(config)
    _rebuild(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about defaults that JSON has no word for
        schema = config.model_json_schema(ref_template=f"#/definitions/{prefix}.{{model}}")
    nested = schema.pop("$defs", {})
    for name, option in schema.get("properties", {}).items():
        # Left out by pydantic where it equals the docstring of a sub-table's class.
        if about := config.model_fields[name].description:
            option.setdefault("description", about)
    definitions |= {f"{prefix}.{name}": _for_editors(model) for name, model in nested.items()}
    described = _for_editors({"properties": schema.get("properties", {})})
    return {"type": "object", "description": schema.get("description", ""), **described}


def _rebuild(config: type[BaseModel]) -> None:
    """Build a class again if it was built before its descriptions were read."""
    for inner in sub_tables(config).values():
        _rebuild(inner)
    config.model_rebuild(force=True)


def _for_editors(node: Any) -> Any:
    """Say in draft 7 what pydantic says in a later one, without null, which TOML lacks, or made-up titles."""
    if isinstance(node, list):
        return [_for_editors(member) for member in node]
    if not isinstance(node, Mapping):
        return node
    written: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            written[key] = {name: _for_editors(option) for name, option in value.items()}
        elif key == "anyOf":
            members = [_for_editors(member) for member in value if member != {"type": "null"}]
            written |= members[0] if len(members) == 1 else {key: members}
        elif key == "prefixItems":
            written |= {"items": _for_editors(value), "additionalItems": False}
        elif key in ("default", "const", "enum", "examples"):
            written |= {key: value} if value is not None else {}
        elif key != "title":
            written[key] = _for_editors(value)
    if "$ref" in written and len(written) > 1:  # draft 7 ignores what stands beside a reference
        written["allOf"] = [{"$ref": written.pop("$ref")}]
    if isinstance(text := written.get("description"), str):
        written["description"] = " ".join(text.split())
    return written


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/definitions/{name}"}
