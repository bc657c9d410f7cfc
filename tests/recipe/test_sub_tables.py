"""Sub-tables of options: layers, errors with their lines, options that have moved, schema."""

from __future__ import annotations

import json
import tomllib
from typing import ClassVar

import pytest
from pydantic import Field, PositiveInt

from nasforge.config import PluginConfig, merge_options, read_descriptions, sub_tables, walk_options
from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.plugins.plugin import find_fault
from nasforge.recipe import check, load, parse_options
from nasforge.recipe.schema import recipe_schema
from nasforge.testing.common import ConformanceError, Subject, options_are_described
from support.recipe_samples import GOOD, REGISTRY, DataOptions, plugin


class Alarm(PluginConfig):
    """Rings."""

    tone: str = "low"
    """Its tone."""

    volume: PositiveInt = 3
    """Its volume."""


class Watch(PluginConfig):
    """Watches."""

    policy: str = "off"
    """What happens."""

    window: PositiveInt = 5
    """Measurements."""

    pair: tuple[float, float] = (0.0, 1.0)
    """Two numbers."""

    alarm: Alarm = Field(default_factory=Alarm)
    """What rings."""


class Options(PluginConfig):
    """A plugin's options."""

    moved_options: ClassVar = {
        "watch": "watch.policy",
        "watch_window": "watch.window",
        "tone": "watch.alarm.tone",
        "rounds": "epochs",
    }

    epochs: PositiveInt = 50
    """Length."""

    extra: dict[str, int] = Field(default_factory=dict)
    """Anything."""

    watch: Watch = Field(default_factory=Watch)
    """Watches."""


Loud = Options.with_defaults(
    "Loud", "Louder.", {"epochs": 9, "watch": {"policy": "ring", "alarm": {"volume": 7}}}
)
PLUGINS = REGISTRY.extended(
    [
        plugin("searcher", "watched", Options),
        plugin("searcher", "loud", Loud),
        plugin("searcher", "asked", Options, needs={"evaluator"}),
    ]
)
START = GOOD.replace('"fixed"', '"watched"')


def write(folder, text, name="recipe.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def searcher(path, **how):
    return load(path, PLUGINS, **how).parts["searcher"].config


def problems(path, **how):
    with pytest.raises(RecipeError) as caught:
        load(path, PLUGINS, **how)
    return list(caught.value.problems)


# Layers


def test_layers_merge_sub_tables_key_by_key(tmp_path):
    write(
        tmp_path,
        START + '[searcher.watch]\npolicy = "warn"\nwindow = 2\n[searcher.watch.alarm]\nvolume = 4\n',
        "base.toml",
    )
    path = write(
        tmp_path,
        "extends = 'base.toml'\n[searcher.watch]\nwindow = 7\n"
        "[profiles.high.searcher.watch.alarm]\ntone = 'high'\n",
    )
    found = searcher(
        path, profile="high", overrides=["searcher.watch.pair=[1, 2]", "searcher.watch.alarm.volume=5"]
    )
    assert found.watch.to_json() == {
        "policy": "warn",
        "window": 7,
        "pair": [1.0, 2.0],
        "alarm": {"tone": "high", "volume": 5},
    }
    assert searcher(path).watch.alarm == Alarm(volume=4)
    inline = searcher(path, overrides=["searcher.watch={window = 8}", "searcher.watch.policy=stop"])
    assert (inline.watch.window, inline.watch.policy, inline.watch.alarm.volume) == (8, "stop", 4)


def test_tables_of_free_options_merge_in_the_same_way(tmp_path):
    path = write(tmp_path, START + "extra = {a = 1, b = 2}\n[profiles.more.searcher]\nextra = {b = 3}\n")
    assert searcher(path, profile="more").extra == {"a": 1, "b": 3}


def test_a_resolved_recipe_has_sub_tables_and_checks_to_an_equal_one(tmp_path):
    recipe = load(write(tmp_path, START + "[searcher.watch.alarm]\nvolume = 4\n"), PLUGINS)
    resolved = json.loads(json.dumps(recipe.resolved()))
    assert resolved["searcher"]["watch"]["alarm"] == {"tone": "low", "volume": 4}
    assert check(resolved, PLUGINS) == recipe


def test_another_use_keeps_what_both_plugins_take_from_one_class(tmp_path):
    text = (
        START
        + "[searcher.watch]\npolicy = 'warn'\nwindow = 2\n[searcher.watch.alarm]\ntone = 'x'\nvolume = 1\n"
    )
    path = write(tmp_path, text + "[profiles.p.searcher.watch]\nwindow = 3\npolicy = 'stop'\n")
    found = searcher(path, profile="p", overrides=["searcher.use=loud"])
    assert (found.epochs, found.watch.window, found.watch.alarm.tone) == (9, 3, "x")
    assert (found.watch.policy, found.watch.alarm.volume) == ("ring", 7), "defined anew, so not kept"
    assert PLUGINS.shares("searcher", "watched", "loud", "watch.window")
    assert PLUGINS.shares("searcher", "watched", "loud", "watch.alarm.tone")
    assert not PLUGINS.shares("searcher", "watched", "loud", "watch.policy")
    assert not PLUGINS.shares("searcher", "watched", "loud", "watch.nothing.deep")


def test_a_dropped_option_does_not_lend_its_line(tmp_path):
    text = START + "[searcher.watch]\npolicy = 'warn'\nwindow = 0\n"
    assert problems(write(tmp_path, text), overrides=["searcher.use=loud"]) == [
        "line 9: searcher.watch.window: must be greater than 0, got 0."
    ]
    assert problems(
        write(tmp_path, text.replace("window = 0", "")),
        overrides=["searcher.use=loud", "searcher.watch.policy=3"],
    ) == ["--set searcher.watch.policy: must be text in quotes, got 3."]


# Errors


def test_errors_name_line_and_place(tmp_path):
    text = START + "[searcher.watch]\nwindw = 3\npair = [1]\n[searcher.watch.alarm]\nvolume = 0\nton = 'x'\n"
    assert problems(write(tmp_path, text)) == [
        "line 8: searcher.watch.windw: no such option. Did you mean 'window'?",
        "line 9: searcher.watch.pair.1: this option must be given; it has no default.",
        "line 11: searcher.watch.alarm.volume: must be greater than 0, got 0.",
        "line 12: searcher.watch.alarm.ton: no such option. Did you mean 'tone'?",
    ]
    profile = START + "[profiles.p.searcher.watch.alarm]\nvolume = -1\n"
    assert problems(write(tmp_path, profile), profile="p", overrides=["searcher.watch.window=x"]) == [
        "line 8: profiles.p.searcher.watch.alarm.volume: must be greater than 0, got -1.",
        '--set searcher.watch.window: must be a whole number, got "x".',
    ]


def test_an_option_in_the_wrong_table_is_sent_to_its_own(tmp_path):
    text = START + "volume = 3\n[searcher.watch]\nepochs = 3\n"
    assert problems(write(tmp_path, text)) == [
        "line 7: searcher.volume: no such option. It belongs into the sub-table 'watch.alarm'.",
        "line 9: searcher.watch.epochs: no such option. It is an option of the table itself: write 'epochs' "
        "above its sub-tables.",
    ]


def test_a_sub_table_must_be_a_table(tmp_path):
    assert problems(write(tmp_path, START + "[searcher.watch]\nalarm = 3\n")) == [
        "line 8: searcher.watch.alarm: must be a table, got 3."
    ]


# Options that have moved


def test_the_old_place_of_an_option_names_the_new_one(tmp_path):
    text = START + "watch = 'warn'\nwatch_window = 3\ntone = 'x'\nrounds = 2\nepochs = 0\n"
    assert problems(write(tmp_path, text)) == [
        'line 7: searcher.watch: has moved. Write policy = "warn" below [searcher.watch].',
        "line 8: searcher.watch_window: has moved. Write window = 3 below [searcher.watch].",
        'line 9: searcher.tone: has moved. Write tone = "x" below [searcher.watch.alarm].',
        "line 10: searcher.rounds: has moved. Write epochs = 2 below [searcher].",
        "line 11: searcher.epochs: must be greater than 0, got 0.",
    ]


def test_moved_options_are_named_in_profiles_overrides_and_alone(tmp_path):
    path = write(tmp_path, START + "[profiles.p.searcher]\nwatch_window = 3\n")
    assert problems(path, profile="p", overrides=["searcher.tone=x"]) == [
        "line 8: profiles.p.searcher.watch_window: has moved. Write window = 3 below [searcher.watch].",
        '--set searcher.tone: has moved. Write tone = "x" below [searcher.watch.alarm].',
    ]
    with pytest.raises(
        RecipeError, match=r"--set watch_window: has moved. Write window = 3 below \[searcher.watch\]"
    ):
        parse_options(PLUGINS.get("searcher", "watched"), ["watch_window=3"])


def test_moved_options_are_named_in_a_bench(tmp_path):
    text = GOOD.replace('"fixed"', '"asked"') + (
        "[evaluator]\nuse = 'lookup'\n[bench]\nbudget = 5\nbaseline = 'asked'\n"
        "[bench.options.asked]\nwatch_window = 3\n"
    )
    assert problems(write(tmp_path, text)) == [
        "line 13: bench.options.asked.watch_window: has moved. "
        "Write window = 3 below [bench.options.asked.watch]."
    ]


def test_a_bench_lays_options_over_sub_tables_of_the_searcher(tmp_path):
    text = GOOD.replace('"fixed"', '"asked"') + (
        "[searcher.watch]\nwindow = 2\n[evaluator]\nuse = 'lookup'\n[bench]\nbudget = 5\nbaseline = 'asked'\n"
        "[bench.options.asked.watch]\npolicy = 'stop'\n"
    )
    bench = load(write(tmp_path, text), PLUGINS, overrides=["bench.options.asked.watch.alarm.volume=9"]).bench
    assert bench.baseline.config.watch == Watch(window=2, policy="stop", alarm=Alarm(volume=9))


@pytest.mark.parametrize("searcher", ["darts", "gdas", "pc-darts", "darts-pt", "cdarts"])
def test_every_moved_option_of_a_gradient_searcher_exists(searcher):
    config = Registry.discover().get("searcher", searcher).config
    paths = {".".join(path) for path, _ in walk_options(config)}
    assert set(config.moved_options.values()) <= paths
    tables = set(sub_tables(config))
    assert set(config.moved_options) & paths <= tables, "an option cannot be where it has moved from"


def test_the_old_layout_of_a_searcher_is_told_the_new_one():
    old = ["guard=stop", "guard_max_free=0.5", "eval_lr=0.1", "copy_bug=true"]
    with pytest.raises(RecipeError) as caught:
        parse_options(Registry.discover().get("searcher", "cdarts"), old)
    assert [problem.removeprefix("--set ") for problem in caught.value.problems] == [
        'guard: has moved. Write policy = "stop" below [searcher.guard].',
        "guard_max_free: has moved. Write max_free = 0.5 below [searcher.guard].",
        "eval_lr: has moved. Write lr = 0.1 below [searcher.twin].",
        "copy_bug: has moved. Write copy_bug = true below [searcher.quirks].",
    ]


# The classes


def test_other_defaults_make_another_class_with_the_same_options():
    assert Loud().to_json() == {
        "epochs": 9,
        "extra": {},
        "watch": {"policy": "ring", "window": 5, "pair": [0.0, 1.0], "alarm": {"tone": "low", "volume": 7}},
    }
    assert Loud(watch={"window": 2}).watch.alarm.volume == 7, "part of a table leaves the other defaults"
    assert Options().watch.alarm.volume == 3
    assert Loud.__doc__ == "Louder."
    read_descriptions(Loud)
    read_descriptions(Options)
    assert {path: field.description for path, field in walk_options(Loud)} == {
        path: field.description for path, field in walk_options(Options)
    }
    with pytest.raises(ValueError, match="greater than 0"):
        Loud(epochs=0)


def test_options_merge_without_touching_what_was_given():
    base = {"a": {"x": 1, "y": 2}, "b": 1}
    assert merge_options(base, {"a": {"y": 3}, "b": {"z": 1}}) == {"a": {"x": 1, "y": 3}, "b": {"z": 1}}
    assert base == {"a": {"x": 1, "y": 2}, "b": 1}


def test_options_for_quick_runs_may_be_nested():
    def fault(tiny):
        made = plugin("searcher", "a", Options)
        return find_fault(type(made)("searcher", "a", made.target, Options, tiny=tiny))

    assert fault({"watch": {"window": 1, "alarm": {"volume": 1}}}) is None
    assert fault({"watch": {"alarm": {"volum": 1}}}).startswith(
        "tiny sets 'watch.alarm.volum', which is not an option."
    )


def test_every_option_of_a_sub_table_needs_a_description():
    class Inner(PluginConfig):
        silent: int = 1

    class Outer(PluginConfig):
        inner: Inner = Field(default_factory=Inner)
        """Described."""

    subject = Subject(plugin("data", "a", Outer))
    with pytest.raises(ConformanceError, match=r"option 'inner.silent' of Outer has no description"):
        options_are_described(subject)


def test_the_schema_closes_and_describes_sub_tables():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.Draft7Validator(recipe_schema(PLUGINS))

    def mistakes(text):
        return list(validator.iter_errors(tomllib.loads(text)))

    start = '[searcher]\nuse = "watched"\n'
    assert not mistakes(start + "[searcher.watch]\nwindow = 3\n[searcher.watch.alarm]\nvolume = 1\n")
    assert not mistakes("[profiles.p.searcher.watch]\nwindow = 3\n")
    assert mistakes(start + "[searcher.watch]\nwindw = 3\n")
    assert mistakes(start + "[searcher.watch.alarm]\nvolume = 0\n")
    assert mistakes(start + "watch_window = 3\n")


def test_image_options_have_no_sub_tables():
    assert sub_tables(DataOptions) == {}
