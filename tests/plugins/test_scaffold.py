import json
import tomllib
from importlib import import_module

import pytest

from nasforge.cli import run_command
from nasforge.errors import PluginError
from nasforge.plugins import KINDS, Plugin, Registry
from nasforge.plugins.scaffold import PluginNames, new_plugin
from support.generated_plugins import NAMES, fake_install, generate, run_python

FILES = {
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "recipe.toml",
    "src/PACKAGE/__init__.py",
    "src/PACKAGE/config.py",
    "src/PACKAGE/plugin.py",
    "src/PACKAGE/py.typed",
    "src/PACKAGE/KIND.py",
    "tests/test_conformance.py",
    "tests/test_recipe.py",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_is_complete_and_carries_its_own_names(tmp_path, kind):
    project = generate(tmp_path, kind)
    package = f"my_own_{kind}"
    files = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert files == {name.replace("PACKAGE", package).replace("KIND", kind) for name in FILES}
    for path in project.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "template" not in text.lower(), path
            assert " a evaluator" not in text.lower(), path
            assert path.suffix != ".py" or compile(text, path, "exec")
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert about["entry-points"]["nasforge"] == {f"{kind}-my-own-{kind}": f"{package}.plugin"}
    assert f"class MyOwn{kind.capitalize()}(" in (project / "src" / package / f"{kind}.py").read_text()
    assert [p.name for p in tmp_path.iterdir()] == [NAMES[kind]]


@pytest.mark.parametrize("kind", KINDS)
def test_templates_declare_the_interface_they_were_written_for(kind):
    (plugin,) = import_module(f"nasforge.plugins.templates.{kind}.plugin").nasforge_plugins()
    assert (plugin.kind, plugin.name, plugin.api) == (kind, f"template-{kind}", 1)
    assert Registry([plugin]).broken == []


@pytest.mark.parametrize(
    ("kind", "name", "title"),
    [
        ("space", "my-space", "MySpace"),
        ("space", "mobile", "MobileSpace"),
        ("data", "flowers102", "Flowers102Data"),
        ("space", "template-name", "TemplateNameSpace"),
    ],
)
def test_classes_are_called_after_name_and_kind(kind, name, title):
    assert PluginNames(kind, name).title == title


def test_a_plugin_may_be_called_like_a_part_of_the_templates(tmp_path):
    project = generate(tmp_path, "space", "template-kind")
    assert tomllib.loads((project / "recipe.toml").read_text())["space"]["use"] == "template-kind"
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"] == "template-kind"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("spce", "mine", r"--kind spce: no such kind. Did you mean 'space'?"),
        ("space", "My_Space", r"'My_Space': a name has lower-case letters.* Write my-space\."),
        ("space", "mySpace2", r"Write my-space2\."),
        ("space", "../mine", r"Write mine\."),
        ("space", "2d", r"'2d': a name has lower-case letters, digits and hyphens, a letter first\.$"),
        ("space", "", "a name has lower-case"),
        ("space", "class", "its package would be called 'class', which is a word or module of Python"),
        ("space", "random", "its package would be called 'random', which is a word or module of Python"),
        ("space", "nasforge", "which is taken"),
        ("space", "torch", "a package 'torch' is installed already, at "),
        ("space", "network", "its class would be called 'NetworkSpace', which nasforge's own code uses"),
        ("searcher", "ask-tell", "its class would be called 'AskTellSearcher'"),
    ],
)
def test_names_that_cannot_be_used_are_refused(kind, name, message):
    with pytest.raises(PluginError, match=message):
        PluginNames(kind, name)


def test_the_name_of_an_installed_plugin_is_refused(tmp_path):
    registry = Registry([Plugin("space", "mine", "a:B", origin="theirs 1.0")])
    with pytest.raises(PluginError, match=r"there is a space of that name already \(theirs 1.0\)"):
        new_plugin(PluginNames("space", "mine"), tmp_path, registry)
    assert new_plugin(PluginNames("data", "mine"), tmp_path, registry).is_dir()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(PluginError, match="exists already"):
        generate(tmp_path, "space", "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="exists already"):
        generate(tmp_path, "space", "file")
    with pytest.raises(PluginError, match="cannot be written"):
        generate(tmp_path / "file" / "below", "space", "mine")


def test_the_command_writes_it_and_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["new", "plugin", "mine", "--kind", "searcher", "--into", "deep/er"]) == 0
    assert "wrote deep/er/mine: searcher 'mine' in package mine." in capsys.readouterr().out
    assert (tmp_path / "deep" / "er" / "mine" / "src" / "mine" / "searcher.py").is_file()
    assert run_command(["new", "plugin", "mine", "--kind", "searcher", "--into", "deep/er"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert run_command(["new", "plugin", "darts", "--kind", "space"]) == 2
    assert "there is a space of that name already (nasforge " in capsys.readouterr().err


def test_plugins_list_shows_it(tmp_path):
    paths = [path for kind in KINDS for path in fake_install(generate(tmp_path, kind))]
    code = "import sys; from nasforge.cli import run_command; run_command(['plugins', 'list', '--json']); "
    done = run_python(["-c", code + "assert 'torch' not in sys.modules"], tmp_path, paths)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    ours = {p["kind"]: p for p in listed["plugins"] if not p["origin"].startswith("nasforge ")}
    assert {kind: p["name"] for kind, p in ours.items()} == NAMES
    assert listed["broken"] == []
