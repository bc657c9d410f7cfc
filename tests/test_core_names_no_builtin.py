"""The core names no built-in plugin, no shipped recipe and no benchmark: not in code, messages or help texts.

Docstrings and comments may cite a method ("DARTS, Eq. 2"). They spell no name of a plugin or a recipe as
users write it, except in examples, which have to run.
"""

import ast
import io
import re
import tokenize
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

UNUSUAL = sorted(NAMES - ORDINARY - {"evolution", "tabular"}, reverse=True)
SPELLED = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, UNUSUAL))})(?!\w)")
"""A name as users write it, also in a path; "evolution" and "tabular" are words of sentences."""

BENCHMARKS = re.compile(
    r"nas-?bench|nats-?bench|hw-?nas|transnas|nb[123]01|autoformer|(?<![^\W_])(?:timm|vits?)(?![^\W_])",
    re.IGNORECASE,
)
"""Benchmarks, transformers and their libraries: named nowhere in the core, not even in a comment."""


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


def prose(source):
    """Yield line and text of every comment, and of every docstring without its examples."""
    skipped = docstrings(tree := ast.parse(source))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(tree):
        if id(node) in skipped and isinstance(node, ast.Constant):
            for number, line in enumerate(str(node.value).splitlines(), node.lineno):
                if not line.strip().startswith((">>>", "...")):
                    yield number, line


def spelled(source):
    """Yield line and name of every plugin or recipe that a docstring or a comment spells."""
    for number, line in prose(source):
        yield from ((number, name) for name in SPELLED.findall(line))


def test_the_names_were_found():
    assert {"cdarts", "image-folder", "image_folder", "imagenet", "evolution", "nasbench201"} <= NAMES
    assert {"quickstart", "cdarts_cifar10", "darts_cifar"} <= NAMES
    assert PLUGINS >= ORDINARY
    assert "budgets" not in NAMES


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_names_no_built_in(path):
    source = path.read_text(encoding="utf-8")
    assert list(named(source)) == []
    assert list(spelled(source)) == []
    assert BENCHMARKS.findall(source) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("# as cdarts does", "cdarts"),
        ('def f():\n    """See docs/cdarts.md."""', "cdarts"),
        ('def f():\n    """A folder.\n\n    Such as ``runs/cdarts_cifar10``.\n    """', "cdarts_cifar10"),
        ('"""Begin with quickstart."""', "quickstart"),
        ("x = 1  # image-folder", "image-folder"),
    ],
)
def test_a_name_in_prose_is_noticed(source, name):
    assert [found for _, found in spelled(source)] == [name]


def test_citations_and_examples_are_left_alone():
    assert list(spelled('"""As in PC-DARTS, Eq. 2, by evolution.\n\n>>> run("quickstart")\n"""')) == []
    assert list(spelled('x = "quickstart"')) == []


@pytest.mark.parametrize(
    "text",
    [
        "# as NAS-Bench-201",
        "nasbench_rows = 1",
        '"""A ViT."""',
        "import timm",
        "vit_blocks = 2",
        "# NATS-Bench",
    ],
)
def test_benchmarks_are_noticed_anywhere(text):
    assert BENCHMARKS.search(text)
    assert not BENCHMARKS.search("# activity and timing of invited bench runs, vital")


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
