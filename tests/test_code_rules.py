"""Rules for every file: its length, what code must not do, and how plugins are declared."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "nasforge"
PLUGINS = ROOT / "plugins" / "nasforge_plugins"


def sources(folder):
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path):
    return str(path.relative_to(ROOT))


def imported_names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


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


@cache
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
        contracts = tuple(
            f"nasforge.{name}" for name in ("evaluator", "observer", "searcher", "space")
        )  # capabilities are there
        own = ".".join(hook.relative_to(ROOT / "plugins").parts[:-1])
        allowed = ("nasforge.plugins", "__future__", *contracts, own)
        assert all(name.startswith(allowed) for name in imported_names(hook)), name_of(hook)


def test_every_dependency_says_who_needs_it():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block
    assert all(re.match(r'\s*".+",\s*# \w', line) for line in block[1].splitlines())


def test_no_two_classes_have_one_name():
    places = {}
    for path in [*sources(CORE), *sources(PLUGINS)]:
        if "templates" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
