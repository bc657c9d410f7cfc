"""Nothing that is installed beside nasforge can take it down: each is listed with the reason."""

import json

import pytest

from support.generated_plugins import run_python

HOOK = """
from nasforge.plugins import Plugin, hookimpl

@hookimpl
def nasforge_plugins():
    return [Plugin("space", "{name}", "{name}_plugin:Space"{more})]
"""
CONFIG = """
from nasforge.config import PluginConfig

class Options(PluginConfig):
    size: int
    "Has no default."
"""


def hook(name, more=""):
    return HOOK.format(name=name, more=more)


# What is in the module, and what `plugins list` says of it: among the broken, or among the warnings.
BROKEN = {
    "syntax": ("def (", "SyntaxError: "),
    "raising": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "leaving": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "needy": (
        "import not_installed_anywhere",
        "ModuleNotFoundError: No module named 'not_installed_anywhere'",
    ),
    "misspelt": (
        hook("misspelt").replace("nasforge_plugins", "nasforge_plugin"),
        "unknown hook 'nasforge_plugin'",
    ),
    "hookless": ("x = 1", "implements no hook"),
    "wrongkind": (hook("wrongkind").replace('"space"', '"spase"'), "no kind 'spase'. Did you mean 'space'?"),
    "misnamed": (hook("misnamed").replace('"misnamed"', '"Mis_Named"'), "a name has lower-case letters"),
    "newer": (
        hook("newer", ", api=99"),
        "it was written for plugin API 99, this nasforge has API 1. Update nasforge.",
    ),
    "newest": (hook("newest", ", colour='red'"), "TypeError: "),
    "nowhere": (hook("nowhere"), "names no module. Write the one with the hook, such as my_package.plugin."),
}
POINTS = {"nowhere": "not a module!"}
"""What an entry point says, where it is not the module."""
WARNED = {
    "loud": ("print('hello')" + hook("loud"), "prints 'hello' when it is listed"),
    "heavy": ("import torch" + hook("heavy"), "imports torch when it is listed"),
    "targetless": (hook("targetless").replace("_plugin:", "_gone:"), "no module 'targetless_gone'"),
    "strict": (CONFIG + hook("strict", ", Options"), "its option 'size' has no default. Give it one."),
}
GOOD = {
    "good": hook("good"),
    "failing": hook("failing").replace("_plugin:", "_code:"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Many distributions, installed as far as Python can tell."""
    folder = tmp_path_factory.mktemp("site")
    modules = {name: code for name, (code, _) in {**BROKEN, **WARNED}.items()} | GOOD
    modules["twin"] = hook("good")
    for name, code in modules.items():
        (folder / f"{name}_plugin.py").write_text(code)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[nasforge]\nspace-{name} = {POINTS.get(name, f'{name}_plugin')}\n"
        )
    (folder / "failing_code.py").write_text("raise RuntimeError('no luck')")
    return folder


def nasforge(site, *arguments, disable="space-heavy"):
    """Run a command; without the plugin that imports torch, which would take seconds every time."""
    return run_python(["-m", "nasforge", *arguments], site, [site], NASFORGE_DISABLE=disable)


def test_each_is_listed_with_its_reason_and_the_others_work(site):
    done = nasforge(site, "plugins", "list", "--json", disable="")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    broken = {row["plugin"]: row["reason"] for row in report["broken"]}
    warned = {row["plugin"]: row["reason"] for row in report["warnings"]}
    for found, expected in ((broken, BROKEN), (warned, WARNED)):
        for name, (_, reason) in expected.items():
            (told,) = [why for at, why in found.items() if f"{name} 1.0" in at]
            assert reason in told, name
    assert len(warned) == len(WARNED)
    assert "is provided by good 1.0 and twin 1.0" in broken["space 'good'"]
    assert len(broken) == len(BROKEN) + 1
    names = {p["name"] for p in report["plugins"]}
    assert {"loud", "heavy", "targetless", "strict", "darts", "cdarts"} <= names
    assert not names & set(BROKEN)


def test_other_commands_work_beside_them(site):
    (site / "recipe.toml").write_text(
        '[data]\nuse = "digits"\n[space]\nuse = "darts"\n[searcher]\nuse = "fixed"\n'
    )
    assert nasforge(site, "check", "recipe.toml").returncode == 0
    schema = nasforge(site, "schema")
    titles = [v["title"] for v in json.loads(schema.stdout)["definitions"]["space"]["oneOf"]]
    assert {"loud", "strict", "darts"} <= set(titles)
    assert "good" not in titles
    (site / "recipe.toml").write_text(
        '[data]\nuse = "digits"\n[space]\nuse = "good"\n[searcher]\nuse = "fixed"\n'
    )
    done = nasforge(site, "check", "recipe.toml")
    assert done.returncode == 2
    assert (
        "line 4: space.use: space 'good' is provided by good 1.0 and twin 1.0. Uninstall or rename"
        in done.stderr
    )


def test_one_of_two_can_be_disabled(site):
    (site / "good.toml").write_text(
        '[data]\nuse = "digits"\n[space]\nuse = "good"\n[searcher]\nuse = "fixed"\n'
    )
    assert nasforge(site, "check", "good.toml", disable="space-heavy,space-twin").returncode == 0
    listed = nasforge(site, "plugins", "list", disable="space-twin, space-heavy").stdout
    assert "disabled by NASFORGE_DISABLE: space-heavy, space-twin" in listed
    assert "is provided by" not in listed


RECIPE = '[data]\nuse = "digits"\n[space]\nuse = "{space}"\n[searcher]\nuse = "fixed"\n'


def test_code_that_is_missing_is_told_when_a_recipe_is_checked(site):
    (site / "missing.toml").write_text(RECIPE.format(space="targetless"))
    done = nasforge(site, "check", "missing.toml")
    assert done.returncode == 2
    assert "space.use: 'targetless' (targetless 1.0) cannot be used: its target" in done.stderr


def test_code_that_cannot_be_imported_stops_a_run_before_it_begins(site):
    (site / "failing.toml").write_text(RECIPE.format(space="failing"))
    assert nasforge(site, "check", "failing.toml").returncode == 0
    done = nasforge(site, "run", "failing.toml")
    assert done.returncode == 2
    told = "space 'failing' (failing 1.0): cannot be loaded from 'failing_code:Space': RuntimeError: no luck"
    assert told in done.stderr
    assert not (site / "runs").exists()
    done = nasforge(site, "plugins", "check", "failing")
    assert done.returncode == 1
    assert f"failed   target_can_be_imported: {told}" in done.stdout


def test_options_without_a_default_are_reported_by_the_checks(site):
    done = nasforge(site, "plugins", "check", "strict")
    assert done.returncode == 1
    assert "failed   options_have_defaults: option(s) without a default: size." in done.stdout
    assert "failed   target_can_be_imported: space 'strict' (strict 1.0): cannot be loaded" in done.stdout
