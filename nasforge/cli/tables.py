"""``nasforge tables``: look-up tables of trained architectures, shipped ones and the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from nasforge.cli.options import Json, repeated, set_option

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
            help="A table as CSV (may be gzipped) or Parquet, or an archive that the evaluator recognises.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", metavar="NAME", help="What to call it. Default: the file's name."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option("--space", metavar="SPACE", help="The space that parses the architectures."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="Take the space and its options from this recipe, which may bring plugins in a file.",
        ),
    ] = None,
    sets: Annotated[list[str] | None, set_option("Set an option of the space.")] = None,
    arch_column: Annotated[
        str | None,
        typer.Option(
            "--arch-column",
            metavar="COLUMN",
            help="The column of the architectures, in any notation that the space parses. Without it the "
            "format must be one that the evaluator recognises by itself.",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        repeated(
            "--metric",
            "-m",
            metavar="NAME[=COLUMN]:max|min",
            about="A metric, and whether higher (max) or lower (min) values are better. {budget} and {seed} "
            "in COLUMN stand for numbers in names of columns; DATASET/NAME names a dataset.",
        ),
    ] = None,
    seconds: Annotated[
        list[str] | None,
        repeated(
            "--seconds",
            metavar="[DATASET=]COLUMN",
            about="The cost of an evaluation in seconds; {budget} as in --metric.",
        ),
    ] = None,
    budget_column: Annotated[
        str | None,
        typer.Option(
            "--budget-column",
            metavar="COLUMN",
            help="A column of budgets, such as epochs, where each budget has a row.",
        ),
    ] = None,
    seed_column: Annotated[
        str | None,
        typer.Option(
            "--seed-column",
            metavar="COLUMN",
            help="A column of training seeds, where each training has a row.",
        ),
    ] = None,
    missing: Annotated[
        list[str] | None,
        repeated("--missing", metavar="TEXT", about="What stands for a missing value, such as '' or -1."),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Read archives that can run code (pickle): only from who you trust."),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a table imported before.")] = False,
    as_json: Json = False,
) -> None:
    """Check a table of results and store it. Nothing is stored unless every row is right."""
    from nasforge.cli.output import print_json
    from nasforge.cli.table_layout import LayoutFlags, read_layout_flags

    flags = LayoutFlags(
        space,
        recipe,
        sets or [],
        arch_column,
        metrics or [],
        seconds or [],
        budget_column,
        seed_column,
        missing or [],
    )
    layout = read_layout_flags(flags)
    store = _store()
    imported = store.import_table(path, name, layout=layout, trust=trust, replace=replace, report=_show_share)
    if as_json:
        print_json(imported)
        return
    _print(imported)
    print(f'\nimported. In a recipe: [evaluator] table = "{imported["name"]}"')


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
    """Show the columns of a table: how many architectures have a value, and which one has the best."""
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

    registry = Registry.discover()
    stores = [registry.get("evaluator", name) for name in registry.capable("evaluator", TableStore)]
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
    from nasforge.recipe.toml_text import to_toml

    options = ", ".join(
        f"{k} = {to_toml(v)}" for k, v in described.get("options", {}).items() if v is not None
    )
    print(f"{described['name']}: {described['rows']} architectures of {described['space']}")
    if options:
        print(f"with {options}")
    print(f"from {described['source']}")
    if described["seeds"]:
        print(f"training seeds {', '.join(map(str, described['seeds']))}")
    print()
    rows = [
        (
            c["column"],
            {"max": "higher", "min": "lower"}.get(c["direction"] or "", "-"),
            str(c["known"]),
            str(c["runs"]),
            f"{c['best']:.6g}" if "best" in c else "-",
            f"#{c['best_index']}" if "best" in c else "-",
            c.get("best_notation", "-"),
            c["from"],
        )
        for c in described["columns"]
    ]
    print_table(rows, head=("column", "better", "known of", "values", "best", "row", "architecture", "from"))
