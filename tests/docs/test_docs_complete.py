"""What people can type or meet is in the documentation; what is public has a docstring."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from nasforge.config import read_descriptions, walk_options
from nasforge.recipe.shipped import shipped_recipes
from support.docs_blocks import DOCS
from support.docs_site import GENERATED, WRITTEN, generate

ROOT = DOCS.parent


def test_every_command_and_its_options_are_described():
    page = GENERATED["reference/cli.md"]
    names = [name for name, _ in generate.commands()]
    assert "nasforge plugins check" in names
    for name, command in generate.commands():
        section = page.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            if parameter.name != "help" and parameter.opts[0].startswith("-"):
                assert parameter.opts[0] in section, (name, parameter.opts)


def test_every_option_of_every_builtin_is_described():
    plugins = generate.builtins()
    assert len(plugins) > 20
    for plugin in plugins:
        page = GENERATED[generate.KIND_PAGES[plugin.kind]]
        section = page.partition(f"## `{plugin.name}`\n")[2].partition("\n## ")[0]
        read_descriptions(plugin.config)
        for path, field in walk_options(plugin.config):
            option = ".".join(path)
            starts = (f"| `{option}` |", f"Sub-table `{option}`:")
            row = next((line for line in section.splitlines() if line.startswith(starts)), "")
            assert row, (plugin.name, option)
            assert field.description
            assert field.description.split()[0].strip("`") in row


def test_every_hook_and_error_is_described():
    for name, _ in generate.hook_functions():
        assert f"## `{name}`" in GENERATED["reference/hooks.md"]
    for error in error_names():
        assert f"| `{error}` |" in GENERATED["reference/errors.md"]


def test_every_recipe_is_judged_in_reproducing_papers():
    for recipe in shipped_recipes():
        assert f"[`{recipe.name}`](reference/recipes.md#{recipe.name})" in WRITTEN["reproducing.md"]


def test_every_searcher_is_compared():
    rows = [line for line in WRITTEN["searchers.md"].splitlines() if line.startswith("| `")]
    compared = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])}
    assert compared == {p.name for p in generate.builtins() if p.kind == "searcher"}


def test_the_table_of_quirks_is_that_of_the_presets():
    from nasforge.recipe.toml_text import to_toml
    from nasforge_plugins.searchers.cdarts.config import PRESETS

    found = re.findall(
        r"^\| .* \| `quirks\.(\w+)` \| `(.*)` \| `(.*)` \|$",
        WRITTEN["cdarts.md"].partition("## Quirks")[2],
        re.M,
    )
    assert {name: (clean, official) for name, clean, official in found} == {
        name: (to_toml(PRESETS["clean"][name]), to_toml(PRESETS["official"][name]))
        for name in PRESETS["clean"]
    }


def test_options_named_by_the_cdarts_page_exist():
    options = {".".join(path) for p in generate.builtins() for path, _ in walk_options(p.config)}
    for table, name in re.findall(r"`(searcher|distiller|space|data)\.([\w.]+)", WRITTEN["cdarts.md"]):
        assert name in options, f"{table}.{name}"


def test_every_extra_is_described():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["optional-dependencies"]
    section = WRITTEN["start/install.md"].partition("## Extras\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(extras)


def test_environment_variables_are_described():
    text = "".join(
        p.read_text("utf8") for root in ("nasforge", "plugins") for p in Path(ROOT / root).rglob("*.py")
    )
    for name in set(re.findall(r'"(NASFORGE_[A-Z]+)"', text)):
        assert name in WRITTEN["recipes.md"], name


def error_names():
    """Return the names of `NasforgeError` and of every class that is derived from it, wherever it is."""
    trees = [tree for root in ROOTS for tree in modules(root).values()]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    found, known = {"NasforgeError"}, set()
    while found != known:
        known = set(found)
        found |= {node.name for node in classes if known & {ast.unparse(base) for base in node.bases}}
    return found


def public_definitions(tree):
    """Yield the public classes and functions of a module, and the public methods of those classes.

    What is public is in ``__all__``; without it, what does not begin with an underscore.
    """
    lists = [
        n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
    ]
    public = set(ast.literal_eval(lists[0])) if lists else None
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        if node.name in public if public is not None else not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def modules(root):
    """Return every module below a folder by its path, parsed; what `nasforge new` copies is none."""
    paths = (path for path in (ROOT / root).rglob("*.py") if "templates" not in path.parts)
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf8")) for path in sorted(paths)}


def raised(function):
    """Yield the names of errors that a function raises and does not catch itself."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield ast.unparse(node.exc.func).rpartition(".")[2]
        rest = [*node.handlers, *node.orelse, *node.finalbody] if isinstance(node, ast.Try) else [node]
        for part in rest:
            yield from raised(part)


ROOTS = {"nasforge": 500, "plugins/nasforge_plugins": 400}
"""Where public names are, and how many there are at least."""


@pytest.mark.parametrize("root", ROOTS)
def test_public_names_have_docstrings(root):
    found = [(m, n, node) for m, tree in modules(root).items() for n, node in public_definitions(tree)]
    assert len(found) > ROOTS[root]
    assert len({len(Path(module).parts) for module, _, _ in found}) > 1  # folders in folders too
    assert [f"{module}: {name}" for module, name, node in found if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("root", ROOTS)
def test_modules_say_what_they_are(root):
    assert [name for name, tree in modules(root).items() if not ast.get_docstring(tree)] == []


@pytest.mark.parametrize("root", ROOTS)
def test_docstrings_name_the_errors_that_are_raised(root):
    errors = error_names()
    silent = [
        f"{module}: {name}: {error}"
        for module, tree in modules(root).items()
        if not module.startswith("nasforge/cli/")  # their docstrings are the help that users read
        for name, node in public_definitions(tree)
        if isinstance(node, ast.FunctionDef)
        for error in errors & set(raised(node))
        if not re.search(rf"^ *({error}|NasforgeError):|; see `", ast.get_docstring(node) or "", re.MULTILINE)
    ]
    assert silent == []


def test_what_is_missing_in_docstrings_is_found():
    tree = ast.parse(
        "__all__ = ['A', 'f']\nclass A:\n  def m(self): ...\n  def _n(self): ...\n"
        "def f():\n  try:\n    raise ArchError('x')\n  except ArchError:\n    raise DataError('y')\n"
        "def g():\n  def h():\n    raise RunError('z')\n"
    )
    assert [name for name, _ in public_definitions(tree)] == ["A", "A.m", "f"]
    assert [list(raised(node)) for node in tree.body[2:]] == [["DataError"], []]
    assert [name for name, _ in public_definitions(ast.parse("def f(): ...\ndef _g(): ..."))] == ["f"]


def test_every_option_of_tables_without_plugins_is_described():
    from nasforge.recipe.schema import _PLAIN

    assert {"run", "constraints", "bench"} <= set(_PLAIN)
    for table, config in _PLAIN.items():
        section = GENERATED["reference/options.md"].partition(f"## `[{table}]`\n")[2].partition("\n## ")[0]
        for path, _ in walk_options(config):
            option = ".".join(path)
            starts = (f"\n| `{option}` |", f"\nSub-table `{option}`:")
            assert any(start in section for start in starts), (table, option)


def test_public_modules_have_a_reference_page():
    import nasforge

    for home in set(nasforge._HOMES.values()):
        assert any(f"::: nasforge.{home}\n" in f"{text}\n" for text in WRITTEN.values()), home
