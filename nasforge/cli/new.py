"""``nasforge new``: a plugin of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nasforge.plugins.kinds import KINDS

__all__ = ["app"]

app = typer.Typer(help="Create a plugin package of your own.", no_args_is_help=True)


@app.command("plugin")
def plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name in recipes, such as my-space.", show_default=False)
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            metavar="KIND",
            help=f"{', '.join(KINDS)}.",
            show_default=False,
        ),
    ],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder that gets the new folder.")
    ] = Path(),
) -> None:
    """Write a small plugin that works, with tests and a recipe: change it step by step."""
    from nasforge.plugins import Registry
    from nasforge.plugins.scaffold import PluginNames, new_plugin

    names = PluginNames(kind, name)
    folder = new_plugin(names, into, Registry.discover())
    print(f"wrote {folder}: {kind} {name!r} in package {names.package}. Next:")
    print(f"  cd {folder}")
    print("  pip install -e '.[test]' && pytest")
    print(f"  nasforge plugins show {name} --kind {kind}")
    print("  nasforge run recipe.toml")
