import dataclasses
import json

import pytest

from nasforge.errors import RecipeError
from nasforge.plugins import Plugin, Registry
from nasforge.recipe import TABLES, Part, RunConfig, check, load, parse_options
from nasforge.runs.build import build
from support.recipe_samples import GOOD, REGISTRY, DataOptions, plugin


def write(folder, text, name="recipe.toml"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder, text, **options):
    with pytest.raises(RecipeError) as caught:
        load(write(folder, text), REGISTRY, **options)
    return list(caught.value.problems)


def test_a_good_recipe_is_read(tmp_path):
    recipe = load(write(tmp_path, GOOD + "[run]\nseed = 3\n[train]\nuse = 'train'\nepochs = 2\n"), REGISTRY)
    assert recipe.run.seed == 3
    assert set(recipe.parts) == {"data", "space", "searcher", "train"}
    assert recipe.parts["train"].plugin.kind == "evaluator"
    assert recipe.parts["train"].config.epochs == 2
    assert recipe.text.startswith("[data]")


def test_the_file_names_the_run_unless_it_has_a_name(tmp_path):
    assert load(write(tmp_path, GOOD, "my_search.toml"), REGISTRY).run.name == "my_search"
    assert load(write(tmp_path, GOOD + "[run]\nname = 'mine'"), REGISTRY).run.name == "mine"


def test_every_table_is_a_part_or_run():
    outer = {"data", "space", "searcher", "distiller", "evaluator", "train"}
    assert set(TABLES) == {*outer, "evaluator.base", "train.distiller"}


FULL = GOOD.replace('"fixed"', '"mutual"') + (
    "[distiller]\nuse = 'logits'\n[evaluator]\nuse = 'lookup'\n"
    "[train]\nuse = 'teach'\ndecay = 'by_size'\n[train.distiller]\nuse = 'logits'\ntemperature = 2\n"
)


def test_the_resolved_recipe_is_complete_json_and_checks_to_an_equal_recipe(tmp_path):
    recipe = load(write(tmp_path, FULL), REGISTRY)
    resolved = json.loads(json.dumps(recipe.resolved()))
    assert resolved["data"] == {"use": "toys", "root": None, "rotate": 0, "mean": [0.5, 0.5, 0.5]}
    assert resolved["train"]["distiller"] == {"use": "logits", "temperature": 2.0}
    assert resolved["run"] == RunConfig(name="recipe").to_json()
    again = check(resolved, REGISTRY)
    assert again == recipe
    assert again.resolved() == resolved


def test_recipes_of_different_options_differ(tmp_path):
    recipe = load(write(tmp_path, FULL), REGISTRY)
    assert load(write(tmp_path, FULL), REGISTRY, overrides=["space.cells=9"]) != recipe
    assert load(write(tmp_path, FULL), REGISTRY, overrides=["run.seed=1"]) != recipe


def test_a_recipe_and_its_parts_cannot_be_changed(tmp_path):
    recipe = load(write(tmp_path, GOOD), REGISTRY)
    with pytest.raises(TypeError):
        recipe.parts["data"] = recipe.parts["space"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.run = RunConfig()


def test_all_problems_come_at_once_sorted_by_line(tmp_path):
    found = problems(
        tmp_path,
        '[run]\ndevise = "cpu"\n[data]\nuse = "toys"\nrotat = 3\n[space]\nuse = "cels"\n'
        '[searchr]\nuse = "fixed"\n'
        '[train]\nuse = "train"\nepochs = "50"\n',
    )
    assert found == [
        "line 2: run.devise: no such option. Did you mean 'device'?",
        "line 5: data.rotat: no such option. Did you mean 'rotate'?",
        "line 7: space.use: no space named 'cels'. Did you mean 'cells'?",
        "line 8: searchr: no such table. Did you mean 'searcher'?",
        'line 12: train.epochs: must be a whole number, got "50". Leave out the quotes.',
        'searcher: this table is missing. Write [searcher] and use = "…". Known: fixed, mutual, random.',
    ]


def test_the_head_counts_the_problems(tmp_path):
    with pytest.raises(RecipeError, match=r"recipe\.toml: 1 problem\n"):
        load(write(tmp_path, GOOD + "x = 1"), REGISTRY)


def test_a_searcher_names_the_tables_it_needs(tmp_path):
    text = GOOD.replace('"fixed"', '"mutual"').replace('"cells"', '"table"')
    assert problems(tmp_path, text) == [
        "line 4: space.use: 'mutual' needs a space with NetworkSpace, which 'table' lacks. "
        "Known: cells, chain.",
        "line 6: searcher.use: 'mutual' needs a [distiller] table. Known: logits, stages.",
    ]
    assert problems(tmp_path, GOOD.replace('"fixed"', '"random"')) == [
        "line 6: searcher.use: 'random' needs a [evaluator] table. Known: lookup, teach, train."
    ]


def test_what_trains_needs_its_own_distiller(tmp_path):
    text = GOOD + "[distiller]\nuse = 'logits'\n[train]\nuse = 'teach'\n"
    assert problems(tmp_path, text) == [
        "line 10: train.use: 'teach' needs a [train.distiller] table. Known: logits, stages."
    ]
    text = GOOD + "[train.distiller]\nuse = 'logits'\n[evaluator]\nuse = 'teach'\n[train]\nuse = 'teach'\n"
    assert problems(tmp_path, text) == [
        "line 10: evaluator.use: 'teach' needs a [distiller] table. Known: logits, stages."
    ]


def test_a_nested_distiller_is_checked_as_any_table(tmp_path):
    text = GOOD.replace('"cells"', '"table"') + (
        "[train]\nuse = 'teach'\n[train.distiller]\nuse = 'stages'\n"
    )
    assert "'stages' needs a space with NetworkSpace" in problems(tmp_path, text)[0]
    assert problems(
        tmp_path, GOOD + "[train]\nuse='teach'\n[train.distiller]\nuse='logits'\ntemprature=1\n"
    ) == ["line 11: train.distiller.temprature: no such option. Did you mean 'temperature'?"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("space = 3\n", 'line 1: space: must be a table: write [space] and use = "…" below.'),
        (
            "run = true\n[space]\nuse='cells'\n",
            "line 1: run: must be a table: write [run] and its options below.",
        ),
        ("[space]\n", 'line 1: space: has no plugin. Write use = "…". Known: cells, chain, table.'),
        (
            "[space]\nuse = 3\n",
            'line 2: space.use: must be text. Write use = "…". Known: cells, chain, table.',
        ),
        ("[[space]]\nuse = 'cells'\n", 'line 1: space: must be a table: write [space] and use = "…" below.'),
        (
            "[space]\nuse = 'toys'\n",
            "line 2: space.use: 'toys' is a data, not a space. Known: cells, chain, table.",
        ),
        ("epochs = 3\n[space]\nuse='cells'\n", "line 1: epochs: no such table. Known: "),
        ("profiles = 3\n[space]\nuse='cells'\n", "line 1: profiles: must hold tables such as"),
        ("[profiles]\nsmoke = 3\n[space]\nuse='cells'\n", "line 2: profiles.smoke: must hold tables such as"),
    ],
)
def test_tables_of_a_wrong_form_are_named(tmp_path, text, expected):
    rest = GOOD.replace('[space]\nuse = "cells"\n', "")
    (found,) = problems(tmp_path, text + rest)
    assert found.startswith(expected)


def test_options_that_must_be_given_are_named(tmp_path):
    assert problems(tmp_path, GOOD.replace('"toys"', '"files"')) == [
        "line 1: data.file: this option must be given; it has no default."
    ]


def test_a_name_claimed_twice_says_by_whom(tmp_path):
    registry = Registry([*REGISTRY, dataclasses.replace(plugin("space", "cells"), origin="other 2")])
    with pytest.raises(RecipeError, match="provided by tests 1 and other 2"):
        load(write(tmp_path, GOOD), registry)


def test_a_failing_validator_of_somebody_else_is_a_problem_not_a_crash(tmp_path):
    class Crashing(DataOptions):
        def model_post_init(self, context):
            raise KeyError("oops")

    registry = Registry([p for p in REGISTRY if p.name != "toys"] + [plugin("data", "toys", Crashing)])
    with pytest.raises(RecipeError, match="line 1: data: checking these options failed of tests 1: KeyError"):
        load(write(tmp_path, GOOD), registry)


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", ".hidden", "a\\b"])
def test_a_run_name_is_a_folder_name(tmp_path, name):
    (found,) = problems(tmp_path, f"{GOOD}[run]\nname = '{name}'\n")
    assert "must be the name of a folder" in found


@pytest.mark.parametrize("device", ["CPU", "cuda:", "gpu 0", "cuda:x"])
def test_a_device_has_the_form_of_one(tmp_path, device):
    (found,) = problems(tmp_path, f"{GOOD}[run]\ndevice = '{device}'\n")
    assert f'got "{device}"' in found


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_usual_devices_are_accepted(tmp_path, device):
    assert load(write(tmp_path, f"{GOOD}[run]\ndevice = '{device}'\n"), REGISTRY).run.device == device


def test_options_alone_are_checked_too():
    cells = REGISTRY.get("space", "cells")
    assert parse_options(cells, ["cells=3", "space.stem=imagenet"]).cells == 3
    assert parse_options(cells, {"channels": (1, 2)}).channels == [1, 2]
    with pytest.raises(RecipeError, match=r"space cells: 1 problem\n  - --set cels: no such option"):
        parse_options(cells, ["cels=3"])
    with pytest.raises(RecipeError, match="inspect it: 1 problem\n  - cells: must be at least 1, got 0"):
        parse_options(cells, {"cells": 0}, source="inspect it")


def test_a_mapping_may_have_profiles_and_overrides():
    raw = {"data": {"use": "toys"}, "space": {"use": "cells"}, "searcher": {"use": "fixed"}}
    raw["profiles"] = {"small": {"space": {"cells": 2}}}
    recipe = check(raw, REGISTRY, profile="small", overrides={"space.dropout": 0.5})
    assert (recipe.parts["space"].config.cells, recipe.parts["space"].config.dropout) == (2, 0.5)
    assert recipe.profiles == ("small",)
    assert raw["space"] == {"use": "cells"}


def test_build_gives_the_class_its_options():
    part = Part("data", Plugin("data", "toys", "types:SimpleNamespace", DataOptions), DataOptions(rotate=2))
    made = Plugin("data", "toys", "builtins:repr", DataOptions)
    assert build(Part("data", made, part.config)) == repr(part.config)
