"""``nasforge tables``: look-up tables of trained architectures, shipped ones and the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from nasforge.cli.options import Json

if TYPE_CHECKING:
    from nasforge.evaluator import TableStore

__all__ = ["app"]

app = typer.Typer(help="Import, list and show tables of trained architectures.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a table.", show_default=False)]


@app.command("import")
def import_file(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="NAS-Bench-201 as CSV (may be gzipped) or NATS-Bench archive.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", metavar="NAME", help="What to call it. Default: the file's name."),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Read archives that can run code (pickle): only from who you trust."),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a table imported before.")] = False,
    as_json: Json = False,
) -> None:
    """Check a table of NAS-Bench-201 and store it. Nothing is stored unless every row is right."""
    from nasforge.cli.output import print_json

    imported = _store().import_table(path, name, trust=trust, replace=replace, report=_show_share)
    if as_json:
        print_json(imported)
        return
    _print(imported)
    print(f'\nimported. In a recipe: table = "{imported["name"]}"')


@app.command("list")
def list_tables(as_json: Json = False) -> None:
    """List every table, then the faults of those that cannot be read."""
    from nasforge.cli.output import print_json, print_table

    tables = _store().list_tables()
    if as_json:
        print_json(tables)
        return
    rows = [(t["name"], t["space"], str(t["rows"]), t["source"]) for t in tables if "problem" not in t]
    print_table(rows, head=("name", "space", "rows", "from"))
    if broken := [t for t in tables if "problem" in t]:
        print("\nbroken:")
        for table in broken:
            print(f"  {table['name']}: {table['problem']}")


@app.command("show")
def show(name: Name, as_json: Json = False) -> None:
    """Show the columns of a table, and the best architecture of each."""
    from nasforge.cli.output import print_json

    described = _store().describe_table(name)
    if as_json:
        print_json(described)
    else:
        _print(described)


def _store() -> TableStore:
    from nasforge.errors import PluginError
    from nasforge.evaluator import TableStore
    from nasforge.plugins import Registry

    stores = [p for p in Registry.discover().of("evaluator") if TableStore in p.provides]
    if len(stores) != 1:
        found = ", ".join(f"{p.name!r} ({p.origin})" for p in stores) or "none"
        raise PluginError(
            f"tables: one evaluator that keeps tables is needed, found {found}. Name entry points to skip in "
            "NASFORGE_DISABLE, or install one."
        )
    return cast("TableStore", stores[0].load())


def _show_share(share: float) -> None:
    if sys.stderr.isatty():
        print(f"\rreading: {share:.0%}", end="\n" if share >= 1 else "", file=sys.stderr, flush=True)


def _print(described: dict[str, Any]) -> None:
    from nasforge.cli.output import print_table

    print(f"{described['name']}: {described['rows']} architectures of {described['space']}")
    print(f"from {described['source']}")
    if described["seeds"]:
        print(f"training seeds {', '.join(map(str, described['seeds']))}")
    rows = [
        (a["column"], f"{a['best']:.3f}", f"#{a['best_index']}", a["best_key"], a["from"])
        for a in described["accuracies"]
    ]
    print()
    print_table(rows, head=("accuracy", "best", "row", "key", "from"))
    print(f"\nalso per data set: {', '.join(described['other_columns'])}")
