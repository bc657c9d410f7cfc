"""Rooms and arrows: which package of nasforge may import which, inside functions too."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from support.rooms import ROWS

ROOT = Path(__file__).parents[1]
CORE = ROOT / "nasforge"
PLUGINS = ROOT / "plugins" / "nasforge_plugins"

# The contract lies flat at the top of nasforge/: what everything is made of, and what plugin authors read.
FLAT = {
    "ground": ("arch", "config", "drawing", "errors", "files", "rows", "seeding"),
    "contracts": (
        *("component", "constraints", "data", "distiller", "evaluator", "observer", "pareto", "searcher"),
        "space",
    ),
}

FOR_PLUGINS = {"ground", "contracts", "plugins", "nn", "runtime", "training", "images", "cost", "tables"}

LIGHT = ("ground", "plugins", "contracts", "recipe")
"""Rooms that `nasforge check` and the listings import: no torch."""


def sources(folder):
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path):
    return str(path.relative_to(ROOT))


def module_of(path):
    root = ROOT / "plugins" if PLUGINS in path.parents else ROOT
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def is_module(name):
    place = (ROOT / "plugins" if name.startswith("nasforge_plugins.") else ROOT).joinpath(*name.split("."))
    return name.startswith("nasforge") and (place.is_dir() or place.with_suffix(".py").is_file())


def imported(tree):
    """Yield every module that is imported, at any depth."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from imported(other)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:  # a module, or a name in one
                inner = f"{node.module}.{alias.name}"
                yield inner if is_module(inner) else node.module
        else:
            yield from imported(node)


@cache
def imports(path):
    return frozenset(imported(ast.parse(path.read_text(encoding="utf-8"))))


# Templates are what third parties copy: they keep the rules of plugins.
MODULES = {module_of(p): p for p in sources(CORE) if "templates" not in p.relative_to(CORE).parts[:-1]}
TEMPLATES = sources(CORE / "plugins" / "templates")


def room_of(module):
    """Return the room of a module of the core; None for the package itself and its entry."""
    first = module.split(".")[1] if "." in module else "__main__"
    flat = next((room for room, names in FLAT.items() if first in names), first)
    return None if flat == "__main__" else flat


def rooms_of(path):
    """Return the rooms that a file imports from."""
    return {room_of(name) for name in imports(path) if name.startswith("nasforge.")} - {None}


def test_every_module_has_a_room():
    rooms = {room for row in ROWS for room in row}
    assert {room_of(module) for module in MODULES} - {None} == rooms


def test_the_top_level_is_the_contract():
    flat = {path.stem for path in CORE.glob("*.py")}
    assert flat == {"__init__", "__main__", "api", *FLAT["ground"], *FLAT["contracts"]}
    assert len(flat) <= 19


@pytest.mark.parametrize("room", [room for row in ROWS for room in row])
def test_rooms_import_earlier_rows_only(room):
    row = next(i for i, rooms in enumerate(ROWS) if room in rooms)
    allowed = {room, *(earlier for rooms in ROWS[:row] for earlier in rooms)}
    mistakes = {
        name_of(path): sorted(rooms_of(path) - allowed)
        for module, path in MODULES.items()
        if room_of(module) == room and rooms_of(path) - allowed
    }
    assert mistakes == {}


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: imports(path) & set(MODULES) - {module} for module, path in MODULES.items()}
    assert circles(graph) == []


def circles(graph):
    """Return what is left of a graph when modules that import nothing that is left are removed."""
    left = dict(graph)
    while free := [module for module, others in left.items() if not others & set(left)]:
        for module in free:
            del left[module]
    return sorted(left)


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


@pytest.mark.parametrize("path", [*sources(PLUGINS), *TEMPLATES], ids=name_of)
def test_plugins_import_what_is_for_plugins(path):
    mine = path.parent.name if path in TEMPLATES else ""
    allowed = FOR_PLUGINS | ({"testing"} if mine == "project" else set())
    assert rooms_of(path) <= allowed


def test_the_core_never_imports_a_built_in():
    for path in sources(CORE):
        assert not any(name.split(".")[0] == "nasforge_plugins" for name in imports(path)), name_of(path)


def test_the_core_makes_components_in_one_place_only():
    using = [name_of(p) for p in sources(CORE) if re.search(r"\.load\(\)\(", p.read_text(encoding="utf-8"))]
    assert [name for name in using if not name.startswith("nasforge/testing/")] == ["nasforge/runs/build.py"]


@pytest.mark.parametrize("kind", ["searchers", "distillers", "observers"])
def test_no_searcher_knows_a_space_and_so_on(kind):
    for path in sources(PLUGINS / kind):
        plugins = {name.split(".")[1] for name in imports(path) if name.startswith("nasforge_plugins.")}
        assert plugins <= {kind, "ops", "predictors"}, name_of(path)


def test_typer_and_rich_live_where_people_look():
    for path in [*sources(CORE), *sources(PLUGINS)]:
        if not {CORE / "cli", PLUGINS / "observers"} & set(path.parents):
            assert not {name.split(".")[0] for name in imports(path)} & {"typer", "rich", "click"}, name_of(
                path
            )


HEAVY = ["torch", "torchvision", "numpy", "scipy", "sklearn", "safetensors", "PIL"]


def heavy_after(code):
    script = f"{code}\nimport sys\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_light_rooms_import_nothing_heavy():
    # A distiller is a module of torch, and no command that lists or checks imports its contract.
    light = [m for m in MODULES if room_of(m) in LIGHT and m != "nasforge.distiller"]
    cli = ("cli", "cli.app", "cli.option_text", "cli.output")
    others = [*(f"nasforge.{name}" for name in cli), "nasforge.images.config", "nasforge.runs.build"]
    assert heavy_after("".join(f"import {name}\n" for name in [*light, *others])) == []


def test_plugins_describe_themselves_without_anything_heavy():
    code = "from nasforge.plugins import Registry\nassert list(Registry.discover())"
    assert heavy_after(code) == []


def test_the_package_itself_is_light():
    assert (
        heavy_after("import nasforge\ndir(nasforge)\nnasforge.Registry, nasforge.Plugin, nasforge.Arch") == []
    )
