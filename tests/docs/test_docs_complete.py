"""What people can type or meet is in the documentation; what is public has a docstring."""

import ast
import re
from pathlib import Path

import pytest

from docs_blocks import DOCS
from docs_site import GENERATED, WRITTEN, generate
from nasforge.shipped import shipped_recipes

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
        for option, field in plugin.config.model_fields.items():
            row = next((line for line in section.splitlines() if line.startswith(f"| `{option}` |")), "")
            assert row, (plugin.name, option)
            assert field.description
            assert field.description.split()[0].strip("`") in row


def test_every_hook_and_error_is_described():
    for name, _ in generate.hook_functions():
        assert f"## `{name}`" in GENERATED["reference/hooks.md"]
    for error in generate.error_classes():
        assert f"| `{error.__name__}` |" in GENERATED["reference/errors.md"]


def test_every_recipe_is_judged_in_reproducing_papers():
    for recipe in shipped_recipes():
        assert f"[`{recipe.name}`](reference/recipes.md#{recipe.name})" in WRITTEN["reproducing.md"]


def test_every_searcher_is_compared():
    rows = [line for line in WRITTEN["searchers.md"].splitlines() if line.startswith("| `")]
    compared = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])}
    assert compared == {p.name for p in generate.builtins() if p.kind == "searcher"}


def test_the_table_of_quirks_is_that_of_the_presets():
    from nasforge.toml_text import to_toml
    from nasforge_plugins.searchers.cdarts.config import PRESETS

    found = re.findall(
        r"^\| .* \| `(\w+)` \| `(.*)` \| `(.*)` \|$", WRITTEN["cdarts.md"].partition("## Quirks")[2], re.M
    )
    assert {name: (clean, official) for name, clean, official in found} == {
        name: (to_toml(PRESETS["clean"][name]), to_toml(PRESETS["official"][name]))
        for name in PRESETS["clean"]
    }


def test_options_named_by_the_cdarts_page_exist():
    options = {name for p in generate.builtins() for name in p.config.model_fields}
    for table, name in re.findall(r"`(searcher|distiller|space|data)\.(\w+)", WRITTEN["cdarts.md"]):
        assert name in options, f"{table}.{name}"


def test_environment_variables_are_described():
    text = "".join(
        p.read_text("utf8") for root in ("nasforge", "plugins") for p in Path(ROOT / root).rglob("*.py")
    )
    for name in set(re.findall(r'"(NASFORGE_[A-Z]+)"', text)):
        assert name in WRITTEN["recipes.md"], name


def public_definitions(path):
    """Yield the public classes and functions of a module, and the public methods of those classes."""
    tree = ast.parse(path.read_text("utf8"))
    lists = [
        n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
    ]
    public = set(ast.literal_eval(lists[0])) if lists else set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in public:
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


@pytest.mark.parametrize("folder", ["nasforge", "nasforge/nn", "nasforge/testing", "nasforge/cli"])
def test_public_names_have_docstrings(folder):
    modules = sorted((ROOT / folder).glob("*.py"))
    found = [(m.name, name, node) for m in modules for name, node in public_definitions(m)]
    assert found
    assert [f"{module}: {name}" for module, name, node in found if not ast.get_docstring(node)] == []


def test_public_modules_have_a_reference_page():
    import nasforge

    for home in set(nasforge._HOMES.values()):
        assert any(f"::: nasforge.{home}\n" in f"{text}\n" for text in WRITTEN.values()), home
