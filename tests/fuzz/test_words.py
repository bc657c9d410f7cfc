"""Recipes, overrides, architectures and command lines."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from nasforge.recipe.shipped import shipped_recipes
from support.fuzz_commands import command_lines
from support.fuzz_inputs import architectures, overrides, recipes
from support.fuzzing import SCALE, attempt, whole

TEXTS = [recipe.path.read_text(encoding="utf8") for recipe in shipped_recipes()]
SEARCH = """extends = "search_nasbench201_table"
[run]
name = "r"
threads = 1
[searcher]
evaluations = 4
population = 2
tournament = 2
"""


def profile(inputs):
    """Return the settings of a test that takes so many inputs in CI."""
    return settings(settings.get_profile("fuzz"), max_examples=inputs * SCALE)


@profile(30)
@given(text=recipes(TEXTS))
def test_recipes(place, text):
    with place() as folder:
        (folder / "r.toml").write_bytes(text.encode(errors="surrogatepass"))
        attempt("recipes", text, ["check", "r.toml"])


NOT_RECIPES = (
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf[run]\n", b"[run]\r\nname='x'\r\n", b"\r", b"[", b"[[run]]\n"),
    *("[run]\nname = 'x'\n".encode("utf-16"), b"#" * 10**6, b"a." * 5000 + b"b = 1\n", b"\x1b[31m = 1\n"),
    *(b"[a]\n" * 2, b"a = 1\na = 2\n", b"x = [" + b"{a = " * 300, b"run = 1\n", b"extends = 1\n"),
    *(b'extends = "r"\n', b'extends = ["base", "base"]\n', b"profiles = 1\n", b"[profiles]\nx = 1\n"),
    *(b'[plugins]\nmodules = "/dev/zero"\n', b'[plugins]\nmodules = "os"\n', b'[plugins]\nmodules = [""]\n'),
    *(b'[plugins]\nmodules = "."\n', b'[plugins]\nmodules = "./r.toml"\n', b"[plugins]\nchecksums = 3\n"),
)


@pytest.mark.parametrize("content", NOT_RECIPES, ids=lambda content: ascii(content[:30]))
def test_files_that_are_not_recipes(place, content):
    with place() as folder:
        (folder / "r.toml").write_bytes(content)
        commands = (["check", "r.toml"], ["run", "r.toml"], ["schema", "--recipe", "r.toml"])
        attempt("recipes", content, *commands)


@profile(40)
@given(text=overrides)
def test_overrides(place, text):
    with place():
        base = "search_nasbench201_table" if len(text) % 2 else "train_nasbench201_cifar10"
        attempt("overrides", text, ["check", base, "--set", text])


@profile(30)
@given(case=architectures())
def test_architectures(place, case):
    space, text = case
    with place():
        attempt("architectures", f"{space} {text}", ["inspect", space, f"--arch={text}", "--svg", "x.svg"])


@profile(50)
@given(words=command_lines())
def test_command_lines(place, words):
    with place() as folder:
        (folder / "r.toml").write_text(SEARCH)
        (folder / "folder/inner").mkdir(parents=True)
        (folder / "file").write_bytes(b"x")
        attempt("command lines", "\n".join(words), words)
        assert all(whole(path) for path in Path().rglob("*.json"))
