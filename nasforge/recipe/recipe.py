"""Recipes: TOML tables that say which plugins to use and how, checked as a whole before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nasforge.config import PluginConfig
from nasforge.constraints import ConstraintsConfig
from nasforge.errors import PluginError, suggest
from nasforge.plugins import Plugin, Registry
from nasforge.plugins.kinds import GROUPS, TABLES, inner_tables
from nasforge.recipe.bench_table import Bench, read_bench
from nasforge.recipe.confirm import check_confirm
from nasforge.recipe.conventions import follow_conventions
from nasforge.recipe.draft import TOP_TABLES, Draft
from nasforge.recipe.export_table import ExportConfig
from nasforge.recipe.latency_table import LatencyConfig
from nasforge.recipe.layers import Overrides, draft_of_file, draft_of_mapping, draft_of_options
from nasforge.recipe.local_modules import LocalModule, LocalModulesConfig, load_modules
from nasforge.recipe.needs import REQUIRED, check_needs, check_option_needs
from nasforge.recipe.objectives import check_metric_limits, check_objectives
from nasforge.recipe.observer_tables import read_observers
from nasforge.recipe.options import check_options
from nasforge.recipe.part import Part
from nasforge.recipe.programs import check_programs
from nasforge.recipe.run_table import RunConfig
from nasforge.recipe.sharding import check_shards
from nasforge.recipe.shipped import find_recipe
from nasforge.recipe.wording import MANY
from nasforge.recipe.workers import check_workers
from nasforge.space import KnownCost, NetworkSpace

__all__ = ["Recipe", "check", "load", "parse_options", "registry_for", "space_of"]


@dataclass(frozen=True)
class Recipe:
    """A complete, valid recipe.

    Two recipes are equal if they ask for the same run, however they were written.

    Attributes:
        source: Path or other name, for messages.
        text: The file as written; empty if the recipe was made from a mapping.
        run: The ``[run]`` table.
        parts: The tables that name plugins, by name: see `TABLES`, and ``"observers.NAME"``.
        profiles: Names of the profiles that could have been chosen.
        modules: The local modules it names.
        constraints: The ``[constraints]`` table.
        bench: The ``[bench]`` table; the comparison is not part of the run itself.
        latency: The ``[latency]`` table: how networks are timed.
        export: The ``[export]`` table; None if the run writes no files for others.
    """

    source: str = field(compare=False)
    text: str = field(compare=False)
    run: RunConfig
    parts: Mapping[str, Part]
    profiles: tuple[str, ...] = field(default=(), compare=False)
    modules: tuple[LocalModule, ...] = field(default=(), compare=False)
    constraints: ConstraintsConfig = field(default_factory=ConstraintsConfig)
    bench: Bench | None = field(default=None, compare=False)
    latency: LatencyConfig = field(default_factory=LatencyConfig)
    export: ExportConfig | None = None

    def resolved(self) -> dict[str, Any]:
        """Return the whole recipe as plain JSON data, defaults included; `check` accepts it.

        Files of local modules are named by their whole path, and by a checksum.
        """
        tables: dict[str, Any] = {"run": self.run.to_json()}
        if self.modules:
            checksums = {module.name: module.checksum for module in self.modules if module.path}
            tables["plugins"] = {"modules": [m.place for m in self.modules], "checksums": checksums}
        if limits := self.constraints.to_json():
            tables["constraints"] = limits
        if self.latency != LatencyConfig():
            tables["latency"] = self.latency.to_json()
        if self.export is not None:
            tables["export"] = self.export.to_json()
        for name in TABLES:
            if name in self.parts:
                part = self.parts[name]
                parent, _, nested = name.rpartition(".")
                home = tables[parent] if parent else tables
                home[nested] = {"use": part.plugin.name, **part.config.to_json()}
        for name, part in self.parts.items():
            group, _, label = name.partition(".")
            if group in GROUPS:
                body = {"use": part.plugin.name, **part.config.to_json()}
                tables.setdefault(group, {})[label] = body
        return tables


def load(
    source: str | Path, registry: Registry, *, profile: str | None = None, overrides: Overrides = ()
) -> Recipe:
    """Read a recipe file and check it.

    Later sources win: the recipes it extends, the file, the profile, the overrides. Tables merge key by key,
    except that a source which changes ``use`` keeps only what both plugins take from one class of options
    (image data: ``batch_size``, ``limit_train`` and others), because only that means the same to both.

    Args:
        source: A path, or the name of a shipped recipe.
        registry: The plugins there are.
        profile: Name of a ``[profiles.<name>.…]`` group to lay over the recipe.
        overrides: ``"table.key=value"``, each value in TOML; what is not valid TOML counts as text.

    Raises:
        RecipeError: Lists everything that is wrong, sorted by file and line.
    """
    draft = draft_of_file(source, profile, overrides, registry.shares)
    recipe = _check(draft, registry)
    name = recipe.run.name or find_recipe(source).stem
    return replace(recipe, run=recipe.run.model_copy(update={"name": name}))


def check(
    raw: Mapping[str, Any],
    registry: Registry,
    *,
    source: str = "recipe",
    profile: str | None = None,
    overrides: Overrides = (),
    folder: Path | None = None,
) -> Recipe:
    """Check a recipe that is a mapping, such as `Recipe.resolved` returns.

    Args:
        raw: Tables by name.
        registry: The plugins there are.
        source: Its name in messages.
        profile: As in `load`.
        overrides: As in `load`.
        folder: The run folder it is stored in, whose local modules must be trusted; None for a recipe of the
            caller, whose local modules start in the working directory.

    Raises:
        RecipeError: Lists everything that is wrong.
    """
    return _check(draft_of_mapping(raw, source, profile, overrides, registry.shares, folder), registry)


def registry_for(source: str | Path, registry: Registry) -> Registry:
    """Return the plugins that a recipe may use: those installed and those it brings along.

    Args:
        source: A path, or the name of a shipped recipe.
        registry: The installed plugins.

    Raises:
        RecipeError: The file cannot be read, or a module it names is wrong.
    """
    draft = draft_of_file(source, None, (), registry.shares)
    modules = _modules(draft)
    draft.raise_errors()
    return registry.extended(plugin for module in modules for plugin in module.plugins)


def space_of(source: str | Path, registry: Registry, *, overrides: Overrides = ()) -> Part:
    """Return the ``[space]`` table of a recipe, whose other tables need not be right yet.

    Args:
        source: A path, or the name of a shipped recipe.
        registry: The installed plugins.
        overrides: As in `load`.

    Raises:
        RecipeError: The file cannot be read, or the table or a local module is wrong.
    """
    draft = draft_of_file(source, None, overrides, registry.shares)
    registry = registry.extended(plugin for module in _modules(draft) for plugin in module.plugins)
    config = None
    if (plugin := _plugin(draft, "space", registry)) is not None:
        body = {key: value for key, value in draft.table("space").items() if key != "use"}
        config = check_options(draft, "space", plugin.config, plugin, body)
    draft.raise_errors()
    assert plugin is not None, "no problem was noted"
    assert config is not None, "no problem was noted"
    return Part("space", plugin, config)


def parse_options(plugin: Plugin, options: Overrides, *, source: str | None = None) -> PluginConfig:
    """Check options of one plugin outside a recipe.

    Args:
        plugin: The plugin.
        options: Values by name; or ``"option=value"``, each value in TOML or else text.
        source: Their name in messages; default: kind and name of the plugin.

    Raises:
        RecipeError: Lists every wrong option.
    """
    draft = draft_of_options(plugin.kind, options, source or f"{plugin.kind} {plugin.name}")
    config = check_options(draft, plugin.kind, plugin.config, plugin, draft.table(plugin.kind) or {})
    draft.raise_errors()
    assert config is not None, "no problem was noted"
    return config


def _check(draft: Draft, registry: Registry) -> Recipe:
    for number, name in enumerate(name for name in draft.tables if name not in TOP_TABLES):
        hint = suggest(name, [*TOP_TABLES, "extends", "profiles"]) if number < MANY else ""
        draft.add_error((name,), f"no such table.{hint}")
    run = _plain(draft, "run", RunConfig)
    constraints = _plain(draft, "constraints", ConstraintsConfig)
    latency = _plain(draft, "latency", LatencyConfig)
    export = _plain(draft, "export", ExportConfig) if draft.table("export") is not None else None
    modules = _modules(draft)
    registry = registry.extended(plugin for module in modules for plugin in module.plugins)
    plugins: dict[str, Plugin] = {}
    parts: dict[str, Part] = {}
    for name in TABLES:
        if (plugin := _plugin(draft, name, registry)) is None:
            continue
        plugins[name] = plugin
        inside = {inner.rpartition(".")[2] for inner in inner_tables(name)}
        body = {key: value for key, value in draft.table(name).items() if key not in {"use", *inside}}
        if (config := check_options(draft, name, plugin.config, plugin, body)) is not None:
            parts[name] = Part(name, plugin, config)
    names = (run.observers or ()) if isinstance(run, RunConfig) else None
    observers = read_observers(draft, registry, names)
    parts |= observers
    plugins |= {table: part.plugin for table, part in observers.items()}
    tables = {name: part.config for name, part in parts.items()} | {"run": run, "latency": latency}
    check_programs(draft, {name: c for name, c in tables.items() if isinstance(c, PluginConfig)})
    check_needs(draft, plugins, registry)
    if "searcher" in parts:
        check_confirm(draft, "searcher", parts["searcher"].config, plugins, registry)
    check_option_needs(draft, parts, registry)
    if isinstance(run, RunConfig):
        check_workers(draft, run, plugins, registry)
        check_shards(draft, run, parts)
    costs = {name for name in draft.table("constraints") or () if name != "max_metrics"}
    if costs and "space" in plugins and not plugins["space"].provides & {KnownCost, NetworkSpace}:
        draft.add_error(
            ("constraints",), f"space {plugins['space'].name!r} does not tell what its networks cost."
        )
    if export is not None and "train" not in plugins:
        draft.add_error(("export",), "needs a [train] table: only a trained network is exported. Add one.")
    searcher = draft.table("searcher") if "searcher" in parts else {}
    bench = read_bench(draft, registry, plugins, searcher, run.seed if isinstance(run, RunConfig) else 0)
    limits = constraints if isinstance(constraints, ConstraintsConfig) else None
    check_objectives(draft, parts, limits, bench)
    check_metric_limits(draft, parts, limits, bench)
    draft.raise_errors()
    assert isinstance(run, RunConfig), "no problem was noted"
    assert isinstance(constraints, ConstraintsConfig), "no problem was noted"
    assert isinstance(latency, LatencyConfig), "no problem was noted"
    assert isinstance(export, ExportConfig | None), "no problem was noted"
    parts = follow_conventions(parts)
    return Recipe(
        draft.source,
        draft.text,
        run,
        MappingProxyType(parts),
        draft.profiles,
        modules,
        constraints,
        bench,
        latency,
        export,
    )


def _plain(draft: Draft, name: str, model: type[PluginConfig]) -> PluginConfig | None:
    """Check a table that belongs to no plugin; all of it may be left out."""
    body = draft.table(name)
    if not isinstance(body, Mapping | None):
        draft.add_error((name,), f"must be a table: write [{name}] and its options below.")
        return None
    return check_options(draft, name, model, None, body or {})


def _modules(draft: Draft) -> tuple[LocalModule, ...]:
    """Import the local modules; what is wrong with one is noted where it is named."""
    body = draft.table("plugins")
    if not isinstance(body, Mapping | None):
        draft.add_error(
            ("plugins",), 'must be a table: write [plugins] and modules = ["./my_space.py"] below.'
        )
        return ()
    config = check_options(draft, "plugins", LocalModulesConfig, None, body or {})
    if not isinstance(config, LocalModulesConfig):
        return ()
    modules = load_modules(draft, config)
    if draft.stored and len(modules) < len(set(config.entries())):
        draft.raise_errors()  # that their plugins are unknown would be said too
    return modules


def _plugin(draft: Draft, name: str, registry: Registry) -> Plugin | None:
    body, kind, path = draft.table(name), TABLES[name], tuple(name.split("."))
    if body is None:
        if name in REQUIRED:
            draft.add_error(
                path, f'this table is missing. Write [{name}] and use = "…".{_known(registry, kind)}'
            )
        return None
    if not isinstance(body, Mapping):
        draft.add_error(path, f'must be a table: write [{name}] and use = "…" below.')
        return None
    if not isinstance(body.get("use"), str):
        where, wrong = (path, "has no plugin") if "use" not in body else ((*path, "use"), "must be text")
        draft.add_error(where, f'{wrong}. Write use = "…".{_known(registry, kind)}')
        return None
    try:
        return registry.get(kind, body["use"])
    except PluginError as error:
        draft.add_error((*path, "use"), str(error))
        return None


def _known(registry: Registry, kind: str) -> str:
    return suggest("", registry.names(kind))
