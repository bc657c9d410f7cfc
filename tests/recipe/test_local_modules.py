import sys

import pytest

from nasforge.cli import run_command
from nasforge.errors import RecipeError
from nasforge.plugins import Plugin, Registry
from nasforge.recipe import check, load
from support.recipe_samples import REGISTRY

SPACE = '''\
from nasforge import Choice, Plugin, PluginConfig, SearchSpace, hookimpl


class MineConfig(PluginConfig):
    size: int = 3
    """How many choices."""


class Mine(SearchSpace):
    @property
    def choices(self):
        return tuple(Choice(f"c{i}", ("a", "b")) for i in range(self.config.size))


@hookimpl
def nasforge_plugins():
    return [Plugin("space", "mine", TARGET, MineConfig)]
'''
BY_NAME = SPACE.replace("TARGET", 'f"{__name__}:Mine"')

RECIPE = """\
[plugins]
modules = ["./my_space.py"]
[data]
use = "toys"
[space]
use = "mine"
size = 5
[searcher]
use = "fixed"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes" / "my_space.py").write_text(BY_NAME)
    (tmp_path / "recipes" / "mine.toml").write_text(RECIPE)
    return tmp_path / "recipes"


def problems(source, registry=REGISTRY, **how):
    with pytest.raises(RecipeError) as caught:
        load(source, registry, **how)
    return list(caught.value.problems)


def test_a_file_beside_the_recipe_brings_its_plugin(folder):
    recipe = load(folder / "mine.toml", REGISTRY)
    plugin = recipe.parts["space"].plugin
    space = plugin.load()(recipe.parts["space"].config)
    assert space.size() == 2**5
    assert plugin.origin.startswith("my_space.py ")
    assert [module.path for module in recipe.modules] == [(folder / "my_space.py").resolve()]


def test_the_plugin_is_there_for_that_recipe_alone(folder):
    load(folder / "mine.toml", REGISTRY)
    assert REGISTRY.names("space") == ["cells", "chain", "table"]
    (folder / "other.toml").write_text(RECIPE.replace('modules = ["./my_space.py"]', "modules = []"))
    assert problems(folder / "other.toml") == [
        "line 6: space.use: no space named 'mine'. Known: cells, chain, table."
    ]


def test_the_target_may_be_written_with_the_name_of_the_file(folder):
    (folder / "my_space.py").write_text(SPACE.replace("TARGET", '"my_space:Mine"'))
    recipe = load(folder / "mine.toml", REGISTRY)
    assert recipe.parts["space"].plugin.load().__name__ == "Mine"
    assert "my_space" not in sys.modules


def test_one_entry_needs_no_list(folder):
    (folder / "mine.toml").write_text(RECIPE.replace('["./my_space.py"]', '"my_space.py"'))
    assert load(folder / "mine.toml", REGISTRY).parts["space"].plugin.name == "mine"


def test_what_is_resolved_can_be_checked_from_anywhere(folder, tmp_path, monkeypatch):
    recipe = load(folder / "mine.toml", REGISTRY)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = check(recipe.resolved(), REGISTRY)
    assert again.resolved() == recipe.resolved()
    assert again == recipe
    (folder / "my_space.py").write_text(BY_NAME + "# changed\n")
    with pytest.raises(RecipeError, match=r"my_space.py': has been changed since the run began"):
        check(recipe.resolved(), REGISTRY)


def test_a_module_that_can_be_imported_is_named_without_a_path(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    (folder / "space_to_import.py").write_text(BY_NAME)
    (folder / "mine.toml").write_text(RECIPE.replace("./my_space.py", "space_to_import"))
    recipe = load(folder / "mine.toml", REGISTRY)
    assert recipe.parts["space"].plugin.target == "space_to_import:Mine"
    assert recipe.resolved()["plugins"] == {"modules": ["space_to_import"], "checksums": {}}
    assert check(recipe.resolved(), REGISTRY) == recipe


def test_a_module_whose_plugins_are_installed_anyway_changes_nothing(folder):
    registry = Registry.discover()
    text = RECIPE.replace("./my_space.py", "nasforge_plugins.spaces.darts.plugin")
    (folder / "mine.toml").write_text(text.replace("toys", "digits").replace("mine", "darts"))
    (folder / "mine.toml").write_text((folder / "mine.toml").read_text().replace("size = 5\n", ""))
    origin = load(folder / "mine.toml", registry).parts["space"].plugin.origin
    assert origin.startswith("nasforge ")


def test_paths_start_at_the_file_that_sets_them(folder):
    deeper = folder / "deeper"
    deeper.mkdir()
    (deeper / "child.toml").write_text('extends = "../mine.toml"\n[space]\nsize = 2\n')
    assert load(deeper / "child.toml", REGISTRY).resolved()["space"]["size"] == 2
    (deeper / "child.toml").write_text('extends = "../mine.toml"\n[plugins]\nmodules = "./my_space.py"\n')
    (found,) = problems(deeper / "child.toml")[:1]
    assert found.startswith("line 3: plugins.modules: './my_space.py': cannot read ")
    overrides = ["plugins.modules=recipes/my_space.py"]
    assert load(deeper / "child.toml", REGISTRY, overrides=overrides).parts["space"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = 1\ndef (:\n", "line 2 of it: not valid Python: "),
        ("x = 1\n\nraise ValueError('no luck')\n", "line 3 of it: ValueError: no luck."),
        ("import sys\nsys.exit('bye')\n", "line 2 of it: SystemExit: bye."),
        (
            "import my_other_file\n",
            "line 1 of it: ModuleNotFoundError: No module named 'my_other_file'. Code in",
        ),
        ("x = 1\n", "implements no hook. Decorate nasforge_plugins() with @hookimpl."),
        (BY_NAME.replace("nasforge_plugins", "nasforge_plugin"), "unknown hook 'nasforge_plugin'"),
        (BY_NAME.replace("return [Plugin", "return 1/0, [Plugin"), "line 17 of it: ZeroDivisionError"),
        (BY_NAME.replace('"mine"', '"My_Space"'), "space 'My_Space' (?): a name has lower-case"),
        (
            BY_NAME.replace("MineConfig)]", "MineConfig, api=2)]"),
            "space 'mine' (?): it was written for plugin API 2",
        ),
        (BY_NAME.replace("return [", "return ['x'] or ["), "the hook returned 'x', which is not a Plugin."),
        (
            BY_NAME.replace("return [", "return []\n    ["),
            "describes no plugin: nasforge_plugins() returned an empty",
        ),
        (BY_NAME.replace(":Mine", ":Yours"), "names nothing in this file."),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(folder, code, expected):
    (folder / "my_space.py").write_text(code)
    found = problems(folder / "mine.toml")
    assert found[0].startswith("line 2: plugins.modules: './my_space.py': ")
    assert expected in found[0]
    assert len(found) == 2  # and the space is unknown


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('"./gone.py"', "'./gone.py': cannot read "),
        ('"gone_for_good"', "cannot be imported: ModuleNotFoundError: No module named 'gone_for_good'."),
        ('"my_space"', 'For the file beside the recipe write "./my_space.py".'),
        ('"my space"', 'is neither a file such as "./my_space.py" nor the name of a module.'),
        ("3", "plugins.modules: must be text in quotes or a list such as [1, 2], got 3."),
    ],
)
def test_what_is_wrong_with_an_entry_is_told(folder, entry, expected):
    (folder / "mine.toml").write_text(RECIPE.replace('["./my_space.py"]', entry))
    found = problems(folder / "mine.toml")[0]
    assert found.startswith("line 2: plugins.modules: ")
    assert expected in found


def test_two_files_of_one_name_are_an_error(folder):
    (folder / "deeper").mkdir()
    (folder / "deeper" / "my_space.py").write_text(BY_NAME.replace('"mine"', '"other"'))
    (folder / "mine.toml").write_text(RECIPE.replace('"]', '", "deeper/my_space.py"]'))
    assert "another file is called 'my_space.py' too" in problems(folder / "mine.toml")[0]


def test_a_name_that_is_taken_is_an_error_that_names_both(folder):
    (folder / "my_space.py").write_text(BY_NAME.replace('"mine"', '"cells"'))
    (folder / "mine.toml").write_text(RECIPE.replace('"mine"', '"cells"'))
    assert "space 'cells' is provided by tests 1 and my_space.py " in problems(folder / "mine.toml")[0]


def test_check_says_what_a_recipe_brings(folder, monkeypatch, capsys):
    monkeypatch.setattr(Registry, "discover", lambda: REGISTRY)
    monkeypatch.setattr(Plugin, "missing_target", lambda plugin: None)  # the others are names without code
    assert run_command(["check", "recipes/mine.toml"]) == 0
    assert "  [plugins]   my_space.py  space mine\n" in capsys.readouterr().out


def test_a_file_that_prints_is_told_and_works(folder, capsys):
    (folder / "my_space.py").write_text(BY_NAME + "print('hello')\n")
    with pytest.warns(UserWarning, match=r"my_space.py prints 'hello' when it is read"):
        load(folder / "mine.toml", REGISTRY)
    assert capsys.readouterr().out == ""


def test_nothing_is_left_beside_the_file(folder):
    load(folder / "mine.toml", REGISTRY)
    assert sorted(path.name for path in folder.iterdir()) == ["mine.toml", "my_space.py"]


def test_a_table_of_another_form_is_an_error(folder):
    (folder / "mine.toml").write_text(RECIPE.replace("[plugins]\nmodules", "plugins"))
    assert problems(folder / "mine.toml")[0].startswith("line 1: plugins: must be a table")
    (folder / "mine.toml").write_text(RECIPE.replace("modules", "module"))
    assert (
        problems(folder / "mine.toml")[0] == "line 2: plugins.module: no such option. Did you mean 'modules'?"
    )
