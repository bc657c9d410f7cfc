"""``nasforge plugins check``: the conformance kit, without pytest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli.options import Json, repeated, set_option

if TYPE_CHECKING:
    from nasforge.plugins import Plugin, Registry
    from nasforge.testing import Partners

__all__ = ["check"]

NEED_NO_OPTIONS = ("listing_is_light", "options_are_described", "options_have_defaults")
"""Checks that look at the description alone."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one check of one plugin: ``ok``, ``failed``, ``skipped`` or ``waived``."""

    plugin: str
    check: str
    outcome: str
    message: str = ""


def check(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Name of a plugin, or a file such as ./my_space.py.", show_default=False
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Check every installed plugin instead; tells what is not ok.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", "-k", metavar="KIND", help="Its kind, where several have that name; or all of one kind."
        ),
    ] = None,
    sets: Annotated[
        list[str] | None, set_option("Set an option for the checks, such as the path of images.")
    ] = None,
    waive: Annotated[
        list[str] | None,
        repeated("--waive", metavar="CHECK=REASON", about="Expect a check to fail, and give the reason."),
    ] = None,
    partners: Annotated[
        list[str] | None,
        repeated("--with", metavar="KIND=NAME", about="Check it with this plugin, such as space=my-space."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run every conformance check of a plugin; the exit status is 1 if one fails."""
    from nasforge.cli.output import print_json
    from nasforge.errors import PluginError
    from nasforge.plugins import Registry

    if every == (name is not None) or (every and (sets or waive or partners)):
        raise PluginError("plugins check: give a NAME, or --all without --set, --waive and --with.")
    registry = Registry.discover()
    waivers, named = _waivers(waive or []), _named(partners or [])
    local = bool(name and name.endswith(".py"))
    found: list[Outcome] = []
    plugins = _plugins(registry, name, kind)
    registry = registry.extended(plugins) if local else registry
    for plugin in plugins:
        if not as_json:
            print(f"{plugin.kind} {plugin.name} ({plugin.origin})", flush=True)
        skipped: Counter[str] = Counter()
        for outcome in _outcomes(plugin, registry, sets or [], waivers, named, local=local):
            found.append(outcome)
            if every and outcome.outcome == "skipped":
                skipped[outcome.message] += 1
            elif not as_json and not (every and outcome.outcome == "ok"):
                message = f": {outcome.message}" if outcome.message else ""
                print(f"  {outcome.outcome:8} {outcome.check}{message}", flush=True)
        for reason, count in () if as_json else skipped.items():
            print(f"  skipped  {count} checks: {reason}", flush=True)
    counts = {word: sum(o.outcome == word for o in found) for word in ("ok", "failed", "waived", "skipped")}
    if as_json:
        print_json({"checks": [asdict(outcome) for outcome in found], "counts": counts})
    else:
        print(", ".join(f"{count} {word}" for word, count in counts.items() if count) + ".")
        if not named and any(o.outcome == "failed" and ": raised " in f": {o.message}" for o in found):
            print("If a plugin works with one plugin alone, name that one: --with space=NAME.")
    if counts["failed"]:
        raise typer.Exit(1)


def _plugins(registry: Registry, name: str | None, kind: str | None) -> Sequence[Plugin]:
    from nasforge.errors import PluginError, suggest
    from nasforge.plugins import KINDS
    from nasforge.recipe.local_modules import load_module

    if name is None:
        if kind is not None and kind not in KINDS:
            raise PluginError(f"--kind {kind}: no such kind.{suggest(kind, KINDS)}")
        return [plugin for known in KINDS if kind in (None, known) for plugin in registry.of(known)]
    if not name.endswith(".py"):
        return [registry.find(name, kind)]
    try:
        plugins = load_module(name, Path.cwd()).plugins
    except PluginError as error:
        raise PluginError(f"{name}: {error}") from None
    return [plugin for plugin in plugins if kind in (None, plugin.kind)]


def _waivers(written: Sequence[str]) -> dict[str, str]:
    return _pairs("--waive", written, "CHECK=REASON: a waiver needs a reason")


def _named(written: Sequence[str]) -> dict[str, str]:
    return _pairs("--with", written, "KIND=NAME, such as space=my-space")


def _pairs(option: str, written: Sequence[str], how: str) -> dict[str, str]:
    from nasforge.errors import PluginError

    found = {}
    for text in written:
        key, _, value = (part.strip() for part in text.partition("="))
        if not key or not value:
            raise PluginError(f"{option} {text}: write {how}.")
        found[key] = value
    return found


def _outcomes(
    plugin: Plugin,
    registry: Registry,
    sets: Sequence[str],
    waivers: Mapping[str, str],
    named: Mapping[str, str],
    *,
    local: bool,
) -> Iterator[Outcome]:
    import traceback

    import torch

    from nasforge.cli.output import debugging
    from nasforge.errors import DataError, PluginError, suggest
    from nasforge.plugins import KINDS
    from nasforge.recipe.layers import draft_of_options
    from nasforge.testing import ConformanceError, checks_for

    torch.set_num_threads(1)  # networks this small only wait for each other's threads
    draft = draft_of_options(plugin.kind, sets, f"plugins check {plugin.name}")
    for option in (written := dict(draft.table(plugin.kind) or {})):
        if option not in plugin.config.model_fields:
            near = suggest(option, plugin.config.model_fields)
            draft.add_error((plugin.kind, option), f"no such option.{near}")
    draft.raise_errors()
    partners, obstacle = _partners(plugin, registry, named)
    obstacle = obstacle or _missing(plugin, written)
    checks = list(checks_for(plugin, module=plugin.module or None, options=written, partners=partners))
    if unknown := sorted(set(waivers) - {check.name for check in checks}):
        near = suggest(unknown[0], [check.name for check in checks])
        raise PluginError(f"--waive {unknown[0]}: no such check.{near}")
    title = f"{plugin.kind} {plugin.name}"
    try:
        plugin.load()
    except PluginError as error:
        yield Outcome(title, "target_can_be_imported", "failed", str(error))
        obstacle = "the target cannot be imported."
    for check in checks:
        if local and check.name == "listing_is_light":
            yield Outcome(title, check.name, "skipped", "a file is imported with its own recipe only.")
            continue
        if obstacle and check.name not in NEED_NO_OPTIONS:
            yield Outcome(title, check.name, "skipped", obstacle)
            continue
        reason = waivers.get(check.name)
        try:
            check()
        except ConformanceError as error:
            absent = KINDS[plugin.kind].paths_required and isinstance(error.__cause__, DataError)
            if absent and not written:
                obstacle = f"its images are not here, or need options: {error.__cause__}"
                yield Outcome(title, check.name, "skipped", obstacle)
                continue
            if debugging.get() and not reason:
                traceback.print_exception(error.__cause__ or error)
            message = str(error).removeprefix(f"{check}: ")
            yield Outcome(title, check.name, "waived" if reason else "failed", reason or message)
        else:
            passed = "passes: remove the waiver." if reason else ""
            yield Outcome(title, check.name, "failed" if reason else "ok", passed)


def _missing(plugin: Plugin, written: Mapping[str, Any]) -> str | None:
    """Return a message about options that must be given before anything can be made, if there are any."""
    from nasforge.config import merge_options

    given = merge_options(plugin.tiny, written)
    fields = plugin.config.model_fields
    missing = [name for name, field in fields.items() if field.is_required() and name not in given]
    return f"give {' '.join(f'--set {option}=…' for option in missing)}" if missing else None


def _partners(
    plugin: Plugin, registry: Registry, named: Mapping[str, str]
) -> tuple[Partners | None, str | None]:
    """Return partners for a plugin that cannot use the kit's own, or the reason if none fits.

    Args:
        plugin: The plugin under test.
        registry: Where partners are looked up.
        named: Names by kind, over those that the plugin names.
    """
    from nasforge.plugins.capabilities import kind_of
    from nasforge.space import NetworkSpace
    from nasforge.testing import Partners

    names = {**plugin.partners, **named}
    wanted = {n for n in plugin.needs if isinstance(n, type) and kind_of(n) == "space"} - {NetworkSpace}
    if wanted and "space" not in names:
        space = next((p for p in registry.of("space") if wanted <= p.provides), None)
        if space is None:
            capabilities = " and ".join(sorted(one.__name__ for one in wanted))
            return None, f"it needs a space with {capabilities}, and none is installed."
        names["space"] = space.name
    return (Partners.named(names, registry), None) if names else (None, None)
