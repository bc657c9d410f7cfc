"""The rules that hold the parts together: who may import whom, what stays light, what is never used."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "nasforge"
PLUGINS = ROOT / "plugins" / "nasforge_plugins"

# What a module of the core may import of nasforge, apart from type checking and imports inside functions.
# Modules that are left out here may import what they like, within the other rules of this file.
ARROWS = {
    "errors": set(),
    "toml_text": set(),
    "seeding": set(),
    "places": set(),
    "arch": {"errors"},
    "config": set(),
    "component": {"config", "constraints"},
    "additive": {"arch"},
    "constraints": {"additive", "arch", "config", "errors"},
    "pareto": {"constraints", "errors", "evaluator"},
    "data": {"component", "space"},
    "evaluator": {"arch", "component"},
    "drawing": set(),
    "space": {"arch", "component", "errors"},
    "searcher": {"arch", "component", "evaluator", "seeding"},
    "observer": {"component"},
    "distiller": {"component", "nn", "space"},
    "checkpoint": {"errors"},
    "runtime": {"errors", "nn"},
    "cost": {"arch", "space"},
    "hooks": {"errors"},
    "plugins": {"config", "errors", "hooks"},
    "shipped": {"errors"},
    "draft": {"errors", "plugins"},
    "local": {"config", "draft", "errors", "hooks", "plugins"},
    "needs": {"draft", "errors", "plugins"},
    "objectives": {"bench_table", "config", "constraints", "draft", "errors"},
    "layers": {"draft", "errors", "shipped", "toml_text"},
    "wording": {"errors", "toml_text"},
    "bench_table": {"config", "draft", "errors", "plugins", "validate"},
    "recipe": {
        "bench_table",
        "config",
        "constraints",
        "draft",
        "errors",
        "layers",
        "local",
        "needs",
        "objectives",
        "parallel",
        "plugins",
        "shipped",
        "validate",
    },
    "validate": {"config", "wording"},
    "schema": {"bench_table", "config", "constraints", "draft", "local", "plugins", "recipe"},
    "scaffold": {"errors", "plugins"},
    "first_recipe": {"errors", "space", "toml_text"},
    "build": {"recipe"},
}

LIGHT = (
    *(
        "additive",
        "arch",
        "bench_table",
        "build",
        "component",
        "config",
        "constraints",
        "data",
        "draft",
        "drawing",
        "errors",
        "evaluator",
        "first_recipe",
    ),
    *(
        "hooks",
        "layers",
        "local",
        "needs",
        "objectives",
        "observer",
        "pareto",
        "places",
        "plugins",
        "recipe",
        "scaffold",
        "schema",
        "searcher",
    ),
    *("seeding", "shipped", "space", "toml_text", "validate", "wording"),
    *("cli", "cli.app", "cli.option_text", "cli.output", "cli.progress"),
)

NOT_FOR_PLUGINS = {
    "build",
    "cli",
    "draft",
    "engine",
    "first_recipe",
    "layers",
    "local",
    "recipe",
    "scaffold",
    "schema",
} | {"stages"}


def sources(folder):
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path):
    return str(path.relative_to(ROOT))


def imported(tree, *, inside_functions):
    """Yield every module that is imported, without what is only there for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node, inside_functions=inside_functions)


def imports(path, *, inside_functions=True):
    return set(imported(ast.parse(path.read_text(encoding="utf-8")), inside_functions=inside_functions))


def parts_of_core(path, **how):
    """First name below ``nasforge`` of everything a file imports."""
    return {name.split(".")[1] for name in imports(path, **how) if name.startswith("nasforge.")}


def test_every_arrow_names_a_module_that_exists():
    named = set(ARROWS) | set().union(*ARROWS.values()) | {name.partition(".")[0] for name in LIGHT}
    assert {
        name for name in named if not ((CORE / name).is_dir() or (CORE / f"{name}.py").is_file())
    } == set()


@pytest.mark.parametrize("module", sorted(ARROWS))
def test_arrows_point_one_way(module):
    assert parts_of_core(CORE / f"{module}.py", inside_functions=False) <= ARROWS[module]


def test_networks_know_no_plugin_recipe_or_engine():
    allowed = {"arch", "errors", "nn", "space"}
    for path in sources(CORE / "nn"):
        assert parts_of_core(path) <= allowed, name_of(path)


def test_the_core_never_names_a_built_in():
    for path in sources(CORE):
        assert not any(name.split(".")[0] == "nasforge_plugins" for name in imports(path)), name_of(path)


def test_the_core_makes_components_in_one_place_only():
    using = [name_of(p) for p in sources(CORE) if re.search(r"\.load\(\)\(", p.read_text(encoding="utf-8"))]
    assert [name for name in using if not name.startswith("nasforge/testing/")] == ["nasforge/build.py"]


def test_plugins_stay_out_of_what_drives_them():
    for path in sources(PLUGINS):
        assert not parts_of_core(path) & NOT_FOR_PLUGINS, name_of(path)


@pytest.mark.parametrize("kind", ["searchers", "distillers"])
def test_no_searcher_knows_a_space_and_so_on(kind):
    for path in sources(PLUGINS / kind):
        plugins = {name.split(".")[1] for name in imports(path) if name.startswith("nasforge_plugins.")}
        assert plugins <= {kind, "ops", "predictors"}, name_of(path)


def test_typer_and_rich_live_in_the_command_line():
    for path in [*sources(CORE), *sources(PLUGINS)]:
        if (CORE / "cli") not in path.parents:
            assert not {name.split(".")[0] for name in imports(path)} & {"typer", "rich", "click"}, name_of(
                path
            )


HEAVY = ["torch", "torchvision", "numpy", "sklearn", "safetensors", "PIL"]


def heavy_after(code):
    script = f"{code}\nimport sys\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_light_modules_import_nothing_heavy():
    assert heavy_after("".join(f"import nasforge.{name}\n" for name in LIGHT)) == []


def test_plugins_describe_themselves_without_anything_heavy():
    code = "from nasforge.plugins import Registry\nassert list(Registry.discover())"
    assert heavy_after(code) == []


def test_the_package_itself_is_light():
    assert (
        heavy_after("import nasforge\ndir(nasforge)\nnasforge.Registry, nasforge.Plugin, nasforge.Arch") == []
    )


@pytest.mark.parametrize("path", [*sources(CORE), *sources(PLUGINS), *sources(ROOT / "tests")], ids=name_of)
def test_files_say_one_thing(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 330


FORBIDDEN = {
    "pickle": r"\b(?:c?[Pp]ickle|dill|joblib|shelve|marshal)\b",
    "eval or exec": r"(?<![\w.])(?:eval|exec)\(",
    "torch.load or torch.save": r"\btorch\.(?:load|save|jit\.load|jit\.save)\(",
    "allow_pickle": r"allow_pickle\s*=\s*True",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_archive_can_run_code(what):
    for path in [*sources(CORE), *sources(PLUGINS)]:
        code = without_texts(path.read_text(encoding="utf-8"))
        found = re.search(FORBIDDEN[what], code, re.MULTILINE)
        assert not found, f"{name_of(path)}: {found and found[0]}"


def without_texts(source):
    """Leave docstrings, messages and comments out: they may speak of what the code must not do."""

    class Emptied(ast.NodeTransformer):
        def visit_Constant(self, node):
            return ast.Constant("") if isinstance(node.value, str) else node

        def visit_JoinedStr(self, node):
            return ast.Constant("")

    return ast.unparse(ast.fix_missing_locations(Emptied().visit(ast.parse(source))))


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "pickle"),
        ("x = eval(text)", "eval or exec"),
        ("torch.load(path)", "torch.load or torch.save"),
        ("np.load(p, allow_pickle=True)", "allow_pickle"),
    ],
)
def test_the_search_for_forbidden_code_finds_it(code, what):
    assert re.search(FORBIDDEN[what], without_texts(code), re.MULTILINE)


@pytest.mark.parametrize(
    "code", ["net.eval()", "self.eval()", "'pickle'", "'''torch.load(x)'''", "re.exec(x)"]
)
def test_the_search_for_forbidden_code_finds_nothing_else(code):
    assert not any(re.search(pattern, without_texts(code), re.MULTILINE) for pattern in FORBIDDEN.values())


def test_every_plugin_folder_has_its_entry_point_and_vice_versa():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(project["entry-points"]["nasforge"].values())
    folders = {
        ".".join(p.relative_to(ROOT / "plugins").with_suffix("").parts) for p in PLUGINS.rglob("plugin.py")
    }
    assert named == folders


def test_entry_points_are_called_after_kind_and_folder():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, value in project["entry-points"]["nasforge"].items():
        _, kinds, folder, module = value.split(".")
        assert (name, module) == (f"{kinds.removesuffix('s')}-{folder.replace('_', '-')}", "plugin")


def test_a_plugin_folder_is_complete():
    for hook in PLUGINS.rglob("plugin.py"):
        assert (hook.parent / "config.py").is_file(), name_of(hook)
        assert (hook.parent / "__init__.py").is_file(), name_of(hook)
        light = imports(hook)
        allowed = ("nasforge.plugins", "__future__", ".".join(hook.relative_to(ROOT / "plugins").parts[:-1]))
        assert all(name.startswith(allowed) or name == "nasforge.plugins" for name in light), name_of(hook)


def test_every_dependency_says_who_needs_it():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block
    assert all(re.match(r'\s*".+",\s*# \w', line) for line in block[1].splitlines())
