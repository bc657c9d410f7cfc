import time

import pytest

from nasforge.errors import RecipeError
from nasforge.recipe import check, load, shipped
from support.recipe_samples import GOOD, REGISTRY, DataOptions, FileOptions, plugin


def write(folder, text, name="recipe.toml"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def problems(path, **options):
    with pytest.raises(RecipeError) as caught:
        load(path, REGISTRY, **options)
    return list(caught.value.problems)


@pytest.fixture
def shipped_folder(tmp_path, monkeypatch):
    folder = tmp_path / "shipped"
    monkeypatch.setattr(shipped, "_folder", lambda: folder)
    write(folder, "# A first search\n" + GOOD + "[profiles.smoke.space]\ncells = 1\n", "quickstart.toml")
    write(folder, GOOD, "base/small.toml")
    return folder


def test_later_sources_win(tmp_path):
    write(tmp_path, GOOD + "[run]\nseed = 1\nthreads = 1\nname = 'base'\n", "base.toml")
    path = write(
        tmp_path,
        "extends = 'base.toml'\n[space]\ncells = 2\ndropout = 0.2\nstem = 'imagenet'\n[run]\nseed = 2\n"
        "[profiles.smoke.space]\ncells = 3\ndropout = 0.3\n",
    )
    recipe = load(path, REGISTRY, profile="smoke", overrides=["space.cells=4"])
    space = recipe.parts["space"].config
    assert (space.cells, space.dropout, space.stem) == (4, 0.3, "imagenet")
    assert (recipe.run.seed, recipe.run.threads, recipe.run.name) == (2, 1, "base")
    assert load(path, REGISTRY).parts["space"].config.cells == 2


def test_another_use_replaces_the_table_and_the_same_use_does_not(tmp_path):
    text = GOOD + "cells = 3\n".join(["", ""])
    path = write(
        tmp_path,
        text.replace('use = "cells"\n', 'use = "cells"\ncells = 3\n').replace(
            '"fixed"\ncells = 3\n', '"fixed"\n'
        ),
    )
    assert load(path, REGISTRY, overrides=["space.use=cells"]).parts["space"].config.cells == 3
    chain = load(path, REGISTRY, overrides=["space.use=chain"])
    assert chain.resolved()["space"] == {"use": "chain"}


def test_options_set_beside_a_new_use_stay_in_any_order(tmp_path):
    path = write(tmp_path, GOOD.replace('"cells"', '"chain"'))
    for sets in (["space.use=cells", "space.cells=5"], ["space.cells=5", "space.use=cells"]):
        assert load(path, REGISTRY, overrides=sets).parts["space"].config.cells == 5


def test_the_last_of_several_overrides_counts(tmp_path):
    path = write(tmp_path, GOOD)
    assert load(path, REGISTRY, overrides=["space.cells=5", "space.cells=6"]).parts["space"].config.cells == 6


def test_nested_tables_are_overridden_key_by_key(tmp_path):
    text = GOOD + "[train]\nuse='teach'\nepochs = 3\n[train.distiller]\nuse='logits'\ntemperature = 2\n"
    path = write(tmp_path, text)
    recipe = load(path, REGISTRY, overrides=["train.distiller.temperature=7"])
    assert recipe.parts["train.distiller"].config.temperature == 7
    assert recipe.parts["train"].config.epochs == 3
    replaced = load(path, REGISTRY, overrides=["train.use=train"])
    assert "train.distiller" not in replaced.parts


def test_an_override_can_add_a_table(tmp_path):
    path = write(tmp_path, GOOD)
    recipe = load(
        path, REGISTRY, overrides=["train.use=teach", 'train.distiller={use="logits", temperature=3}']
    )
    assert recipe.parts["train.distiller"].config.temperature == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ('"quoted"', "quoted"),
        ("a=b", "a=b"),
        ("~/x y", "~/x y"),
        ("", ""),
        ("1\nb = 2", "1\nb = 2"),
    ],
)
def test_values_that_are_no_toml_are_text(tmp_path, text, value):
    path = write(tmp_path, GOOD.replace('"toys"', '"files"'))
    assert load(path, REGISTRY, overrides=[f"data.file={text}"]).parts["data"].config.file == value


def test_toml_values_keep_their_type(tmp_path):
    path = write(tmp_path, GOOD)
    sets = ["data.mean=[1, 2.5]", "space.shared=false", "space.dropout=1e-3", "data.root=images"]
    recipe = load(path, REGISTRY, overrides=sets)
    assert recipe.parts["data"].config.mean == (1.0, 2.5)
    assert str(recipe.parts["data"].config.root) == "images"
    assert (recipe.parts["space"].config.shared, recipe.parts["space"].config.dropout) == (False, 0.001)


def test_problems_of_overrides_are_told_as_they_were_written(tmp_path):
    path = write(tmp_path, GOOD)
    assert problems(
        path, overrides=["data.rotat=1", "spce.cells=2", "space.cells=x", "cells=3", "nothing"]
    ) == [
        "--set cells=3: write table.key=value, such as searcher.epochs=2.",
        "--set nothing: write table.key=value, such as searcher.epochs=2.",
        "--set spce: no such table. Did you mean 'space'?",
        "--set data.rotat: no such option. Did you mean 'rotate'?",
        '--set space.cells: must be a whole number, got "x".',
    ]


def test_problems_of_extended_files_name_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD + "x = 1\n[dta]\n", "base/b.toml")
    path = write(tmp_path, "extends = 'base/b.toml'\n[space]\ncels = 1\n")
    assert problems(path) == [
        "line 3: space.cels: no such option. Did you mean 'cells'?",
        "base/b.toml, line 7: searcher.x: no such option.",
        "base/b.toml, line 8: dta: no such table. Did you mean 'data'?",
    ]


def test_a_profile_is_inherited_and_can_be_extended(tmp_path):
    write(tmp_path, GOOD + "[profiles.smoke.space]\ncells = 1\ndropout = 0.5\n", "base.toml")
    path = write(tmp_path, "extends = 'base'\n[space]\ncells = 9\n[profiles.smoke.space]\ndropout = 0.25\n")
    recipe = load(path, REGISTRY, profile="smoke")
    assert (recipe.parts["space"].config.cells, recipe.parts["space"].config.dropout) == (1, 0.25)
    assert recipe.profiles == ("smoke",)


def test_problems_of_profiles_are_told_where_they_are_written(tmp_path):
    text = GOOD + "[profiles.smoke.space]\ncels = 1\n[profiles.other.spce]\ncells = 1\n"
    path = write(tmp_path, text)
    assert problems(path, profile="smoke") == [
        "line 8: profiles.smoke.space.cels: no such option. Did you mean 'cells'?",
        "line 9: profiles.other.spce: no such table. Did you mean 'space'?",
    ]
    assert problems(path, profile="smok") == [
        "line 9: profiles.other.spce: no such table. Did you mean 'space'?",
        "--profile smok: no such profile. Did you mean 'smoke'?",
    ]
    assert problems(write(tmp_path, GOOD), profile="smoke") == [
        "--profile smoke: no such profile. This recipe has no profiles."
    ]


def test_several_recipes_can_be_extended_and_the_last_wins(tmp_path):
    write(tmp_path, GOOD + "[run]\nseed = 1\n", "a.toml")
    write(tmp_path, "[run]\nseed = 2\n", "b.toml")
    assert load(write(tmp_path, "extends = ['a.toml', 'b.toml']\n"), REGISTRY).run.seed == 2


def test_a_circle_of_extends_is_named(tmp_path):
    write(tmp_path, "extends = 'c.toml'\n", "b.toml")
    write(tmp_path, "extends = 'a.toml'\n", "c.toml")
    (found,) = problems(write(tmp_path, "extends = 'b.toml'\n", "a.toml"))
    assert found.endswith("extends: a circle: a.toml extends b.toml extends c.toml extends a.toml. Break it.")


def test_one_recipe_extended_on_two_ways_is_no_circle(tmp_path):
    write(tmp_path, GOOD, "root.toml")
    write(tmp_path, "extends = 'root.toml'\n", "left.toml")
    write(tmp_path, "extends = 'root.toml'\n[run]\nseed = 4\n", "right.toml")
    assert load(write(tmp_path, "extends = ['left.toml', 'right.toml']\n"), REGISTRY).run.seed == 4


@pytest.mark.parametrize("value", ["3", "[1]", "{a = 1}", "true"])
def test_extends_of_a_wrong_type(tmp_path, value):
    (found,) = problems(write(tmp_path, f"extends = {value}\n" + GOOD))
    assert found.startswith("line 1: extends: must be a file or recipe name")


def test_extends_of_a_missing_file(tmp_path, shipped_folder):
    (found,) = problems(write(tmp_path, "extends = 'quickstrat.toml'\n" + GOOD))
    assert found.startswith("line 1: extends: no file 'quickstrat.toml' beside it, nor a shipped recipe.")
    assert found.endswith("Did you mean 'quickstart'?")


def test_what_is_no_toml_says_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (found,) = problems(write(tmp_path, '[data]\nuse = "toys\n'))
    assert found.startswith("line 2, column 12: not valid TOML: ")
    (found,) = problems(write(tmp_path, "[data]\nuse = [1,"))
    assert "not valid TOML" in found
    write(tmp_path, "[data", "broken.toml")
    (found,) = problems(write(tmp_path, "extends = 'broken.toml'\n"))
    assert found.startswith("broken.toml, ")
    assert "not valid TOML" in found
    (tmp_path / "latin.toml").write_bytes("# gr\xfcn\n".encode("latin-1"))
    assert problems(tmp_path / "latin.toml") == [
        "not valid TOML: byte 4 is not UTF-8. Save the file as UTF-8."
    ]


def test_missing_files_suggest_shipped_recipes(tmp_path, shipped_folder):
    assert problems(tmp_path / "quickstat.toml") == [
        "no such file, and no shipped recipe of that name. Did you mean 'quickstart'?"
    ]
    assert problems("zzz") == [
        "no such file, and no shipped recipe of that name. Shipped recipes: quickstart."
    ]
    assert problems(tmp_path) == ["this is a folder, not a recipe. Name the TOML file in it."]


def test_shipped_recipes_are_found_by_name(tmp_path, monkeypatch, shipped_folder):
    monkeypatch.chdir(tmp_path)
    assert load("quickstart", REGISTRY).run.name == "quickstart"
    assert load("quickstart.toml", REGISTRY, profile="smoke").parts["space"].config.cells == 1
    path = write(tmp_path, "extends = 'base/small'\n")
    assert load(path, REGISTRY).parts["space"].plugin.name == "cells"
    (listed,) = shipped.shipped_recipes()
    assert (listed.name, listed.summary, listed.profiles) == ("quickstart", "A first search", ("smoke",))


def test_a_recipe_may_extend_the_shipped_one_it_is_named_after(tmp_path, monkeypatch, shipped_folder):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "extends = 'quickstart'\n[space]\ncells = 7\n", "quickstart.toml")
    assert load("quickstart.toml", REGISTRY).parts["space"].config.cells == 7


def test_shipped_names_do_not_lead_out_of_the_folder(tmp_path, shipped_folder):
    write(tmp_path, GOOD, "outside.toml")
    assert shipped.find_shipped("../outside") is None


def test_a_mapping_may_extend_a_shipped_recipe(shipped_folder):
    assert check({"extends": "quickstart", "space": {"cells": 5}}, REGISTRY).parts["space"].config.cells == 5


def test_profiles_of_a_base_do_not_speak_about_other_plugins(tmp_path):
    write(tmp_path, GOOD + "[profiles.smoke.space]\ncells = 1\n[profiles.smoke.run]\nseed = 5\n", "base.toml")
    child = "extends = 'base.toml'\n[space]\nuse = 'table'\n"
    recipe = load(write(tmp_path, child), REGISTRY, profile="smoke")
    assert recipe.parts["space"].plugin.name == "table"
    assert recipe.run.seed == 5
    own = child + "[profiles.smoke.space]\ncells = 2\n"
    assert problems(write(tmp_path, own), profile="smoke") == [
        "line 5: profiles.smoke.space.cells: no such option."
    ]


class SharedOptions(DataOptions):
    """Both image plugins below take `root`, `rotate` and `mean` from one class."""


def test_another_use_keeps_what_both_plugins_mean_alike(tmp_path):
    registry = REGISTRY.extended(
        [plugin("data", "photos", SharedOptions), plugin("data", "other", FileOptions)]
    )
    text = (
        GOOD.replace('use = "toys"\n', 'use = "toys"\nrotate = 3\n') + "[profiles.smoke.data]\nrotate = 5\n"
    )
    write(tmp_path, text, "base.toml")
    child = write(tmp_path, "extends = 'base.toml'\n[data]\nuse = 'photos'\n")
    assert load(child, registry).parts["data"].config.rotate == 3
    assert load(child, registry, profile="smoke").parts["data"].config.rotate == 5
    base = tmp_path / "base.toml"
    swapped = load(base, registry, profile="smoke", overrides=["data.use=photos", "data.root=x"])
    assert (swapped.parts["data"].config.rotate, swapped.parts["data"].config.root.name) == (5, "x")
    other = load(base, registry, profile="smoke", overrides=["data.use=other", "data.file=x"])
    assert other.parts["data"].config.model_dump() == {"file": "x"}


def test_an_option_defined_anew_is_not_shared():
    class OwnRotate(DataOptions):
        rotate: int = 90

    registry = REGISTRY.extended([plugin("data", "turned", OwnRotate)])
    assert registry.shares("data", "toys", "turned", "mean")
    assert not registry.shares("data", "toys", "turned", "rotate")
    assert not registry.shares("data", "toys", "nobody", "mean")


def test_files_that_extend_one_twice_are_refused_at_once(tmp_path):
    """Twice in each of 18 files would be 262,144 layers."""
    (tmp_path / "r18.toml").write_text('[run]\nname = "x"\n')
    for level in range(18):
        (tmp_path / f"r{level}.toml").write_text(f'extends = ["r{level + 1}", "r{level + 1}"]\n')
    (tmp_path / "many.toml").write_text(f"extends = {['nothing'] * 20_000}\n")
    for name in ("r0", "many"):
        started = time.process_time()
        with pytest.raises(RecipeError, match="made of more than 100 files"):
            load(tmp_path / f"{name}.toml", REGISTRY)
        assert time.process_time() - started < 2
