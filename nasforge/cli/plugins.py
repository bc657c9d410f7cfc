"""``nasforge plugins``: what is installed, and which options it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli import plugin_check
from nasforge.cli.options import Json

if TYPE_CHECKING:
    from nasforge.plugins import Plugin, Registry

__all__ = ["app", "find"]

app = typer.Typer(help="List plugins, show their options, check that they conform.", no_args_is_help=True)
app.command("check")(plugin_check.check)


@app.command("list")
def list_plugins(as_json: Json = False) -> None:
    """List every installed plugin, then those that are broken or misbehave, with the reason."""
    from nasforge.cli.output import print_json, print_table
    from nasforge.plugins import Registry

    registry = Registry.discover()
    broken = [*registry.broken, *registry.conflicts]
    doubts = [(f"{p.kind} {p.name!r} ({p.origin})", doubt) for p in registry for doubt in p.doubts()]
    notes = [*registry.notes, *doubts]
    if as_json:
        listed = [
            {"kind": p.kind, "name": p.name, "origin": p.origin, "summary": p.summary} for p in registry
        ]
        wrong = [{"plugin": plugin, "reason": reason} for plugin, reason in broken]
        doubtful = [{"plugin": plugin, "reason": reason} for plugin, reason in notes]
        report = {"plugins": listed, "broken": wrong, "warnings": doubtful, "disabled": registry.disabled}
        print_json(report)
        return
    rows = [(p.kind, p.name, p.origin, p.summary) for p in registry]
    print_table(rows, head=("kind", "name", "from", "summary"))
    for head, found in (("broken", broken), ("warnings", notes)):
        if found:
            print(f"\n{head}:")
        for plugin, reason in found:
            print(f"  {plugin}: {reason}")
    if registry.disabled:
        print(f"\ndisabled by NASFORGE_DISABLE: {', '.join(registry.disabled)}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a plugin.", show_default=False)],
    table: Annotated[
        str | None,
        typer.Argument(metavar="TABLE", help="One of its sub-tables, shown alone.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", "-k", metavar="KIND", help="Its kind, where several have that name."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Show type and full description of every option.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a plugin's options as TOML, ready to paste into a recipe: a line for each option."""
    from nasforge.cli.option_text import describe_options, page_text, table_text
    from nasforge.cli.output import print_json
    from nasforge.plugins import Registry
    from nasforge.plugins.capabilities import describe_need

    plugin = find(Registry.discover(), name, kind)
    if not as_json:
        print(table_text(plugin, table) if whole or table else page_text(plugin))
        return
    report: dict[str, Any] = {
        "kind": plugin.kind,
        "name": plugin.name,
        "origin": plugin.origin,
        "summary": plugin.summary,
        "target": plugin.target,
        "needs": sorted(map(describe_need, plugin.needs)),
        "provides": sorted(one.__name__ for one in plugin.provides),
        "options": describe_options(plugin.config),
    }
    print_json(report)


def find(registry: Registry, name: str, kind: str | None) -> Plugin:
    """Return the plugin of a name, and of a kind where the name is not enough.

    Raises:
        PluginError: There is none, or there are several.
    """
    from nasforge.errors import PluginError, suggest
    from nasforge.plugins import KINDS
    from nasforge.plugins.kinds import with_article

    if kind is not None:
        if kind not in KINDS:
            raise PluginError(f"--kind {kind}: no such kind.{suggest(kind, KINDS)}")
        return registry.get(kind, name)
    kinds = [known for known in KINDS if name in registry.names(known)]
    if len(kinds) > 1:
        raise PluginError(f"{name!r} is {' and '.join(map(with_article, kinds))}. Say which with --kind.")
    if not kinds:
        known = sorted({plugin.name for plugin in registry})
        raise PluginError(f"no plugin named {name!r}.{suggest(name, known)}")
    return registry.get(kinds[0], name)
