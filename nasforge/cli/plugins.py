"""``nasforge plugins``: the installed plugins and their options."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nasforge.cli import plugin_check
from nasforge.cli.options import Json

__all__ = ["app"]

app = typer.Typer(help="List plugins, show their options, check that they conform.", no_args_is_help=True)
app.command("check")(plugin_check.check)


@app.command("list")
def list_plugins(as_json: Json = False) -> None:
    """List every installed plugin, then those that are broken or misbehave, with the reason."""
    from nasforge.cli.output import print_json, print_table
    from nasforge.plugins import Registry

    registry = Registry.discover()
    plugins, notes = registry.listed(), [*registry.notes, *registry.warnings()]
    broken = [*registry.broken, *registry.conflicts]
    if as_json:
        listed = [{"kind": p.kind, "name": p.name, "origin": p.origin, "summary": p.summary} for p in plugins]
        wrong = [{"plugin": plugin, "reason": reason} for plugin, reason in broken]
        doubtful = [{"plugin": plugin, "reason": reason} for plugin, reason in notes]
        report = {"plugins": listed, "broken": wrong, "warnings": doubtful, "disabled": registry.disabled}
        print_json(report)
        return
    rows = [(p.kind, p.name, p.origin, p.summary) for p in plugins]
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

    plugin = Registry.discover().find(name, kind)
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
