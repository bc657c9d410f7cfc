"""``nasforge schema``: the schema of recipes, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["schema"]


def schema(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write it to a file.", show_default=False),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="Know the plugins of this recipe's local modules too.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of recipes with all installed plugins.

    An editor that understands TOML then completes and explains every option. Name the file in the first line
    of a recipe: #:schema ./nasforge.schema.json
    """
    from nasforge.cli.output import print_json
    from nasforge.plugins import Registry
    from nasforge.recipe import registry_for
    from nasforge.recipe.schema import recipe_schema

    registry = Registry.discover()
    written = recipe_schema(registry if recipe is None else registry_for(recipe, registry))
    if out is None:
        print_json(written)
        return
    _refuse_other_files(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf8")
    print(f"wrote {out}. First line of a recipe beside it: #:schema ./{out.name}")


def _refuse_other_files(path: Path) -> None:
    """Raise if the file exists and is not a schema of recipes."""
    from nasforge.errors import RecipeError
    from nasforge.files import refuse_special
    from nasforge.recipe.schema import TITLE

    if not path.exists():
        return
    try:
        refuse_special(path)
        ours = json.loads(path.read_text(encoding="utf8")).get("title") == TITLE
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise RecipeError(str(path), ["exists and is not a schema of recipes. Choose another name."])
