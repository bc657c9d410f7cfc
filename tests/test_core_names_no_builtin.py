"""The core names no built-in plugin and no shipped recipe: not in code, messages, or help texts."""

import ast
import re
from pathlib import Path

import pytest

import nasforge
from nasforge.plugins import Registry
from nasforge.recipe.shipped import shipped_recipes

CORE = Path(nasforge.__file__).parent
RECIPES = shipped_recipes()[0].path.parent

ORDINARY = {
    "chain",
    "csv",
    "digits",
    "fixed",
    "grid",
    "jsonl",
    "logits",
    "model",
    "predictor",
    "progress",
    "random",
    "stages",
    "supernet",
    "synthetic",
    "train",
}
"""Names of plugins that are words of the core too: allowed in sentences, as keys and as labels."""

EVERYWHERE = {"progress", "train"}
"""Names of an event of observers; of a stage, of its table, and of a folder."""

PLUGINS = {plugin.name for plugin in Registry.discover() if plugin.origin.startswith("nasforge ")}
SHIPPED = {path.stem for path in RECIPES.rglob("*.toml") if path.parent != RECIPES / "start"}
NAMES = PLUGINS | {name.replace("-", "_") for name in PLUGINS} | SHIPPED


def word(names):
    either = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{either})(?![\w-])", re.IGNORECASE)


DISTINCTIVE = word(NAMES - ORDINARY)


def docstrings(tree):
    """The docstrings of modules, classes and functions; strings under a field are help texts."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, kinds) and node.body]
    return {id(node.value) for node in first if isinstance(node, ast.Expr)}


def keys(tree):
    """The strings that are keys, in a dict or in square brackets, or labels, at the start of a tuple."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            found |= {id(key) for key in node.keys}
        elif isinstance(node, ast.Subscript):
            found.add(id(node.slice))
        elif isinstance(node, ast.Tuple) and node.elts:
            found.add(id(node.elts[0]))
    return found


def named(source):
    """Yield line and name of every built-in that a source names in a string."""
    tree = ast.parse(source)
    skipped, allowed = docstrings(tree), keys(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in skipped:
            continue
        yield from ((node.lineno, name) for name in DISTINCTIVE.findall(node.value))
        if node.value in ORDINARY - EVERYWHERE and id(node) not in allowed:
            yield node.lineno, node.value


def test_the_names_were_found():
    assert {"cdarts", "image-folder", "image_folder", "imagenet", "evolution", "nasbench201"} <= NAMES
    assert {"quickstart", "cdarts_cifar10", "darts_cifar"} <= NAMES
    assert PLUGINS >= ORDINARY
    assert "budgets" not in NAMES


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_names_no_built_in(path):
    assert list(named(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('baseline: str = "random"', "random"),
        ('registry.get("searcher", "random")', "random"),
        ('x = ("searcher", "random")', "random"),
        ('x = ["cdarts_cifar10"]', "cdarts_cifar10"),
        ('f"extends = {x}, or quickstart"', "quickstart"),
        (
            'class A:\n    """Fine."""\n\n    x: int = 0\n    """As in [bench.options.evolution]."""',
            "evolution",
        ),
        ('x = {"imagenet": 1}', "imagenet"),
        ('raise ValueError("Use image-folder.")', "image-folder"),
        ('path = "nasforge_plugins.data.image_folder"', "image_folder"),
        ('help="DARTS and others"', "DARTS"),
    ],
)
def test_a_name_is_noticed(source, name):
    source = f"f({source})" if source.startswith("help=") else source
    assert [found for _, found in named(source)] == [name]


@pytest.mark.parametrize(
    "source",
    [
        '"""Like darts."""',
        'def f():\n    """Example: quickstart."""',
        'state["random"]',
        '{"random": 1, "logits": 2}',
        '("logits", theirs.logits, ours.logits)',
        '"none of 100 random architectures"',
        '"the supernet and its stages"',
        '"[train]"',
        'x = "train"',
        "# evolution",
        '"pc-darts-like"',
    ],
)
def test_other_words_are_left_alone(source):
    assert list(named(source)) == []
