from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, model_validator

from nasforge.config import PluginConfig
from nasforge.errors import RecipeError
from nasforge.images.config import UserPath
from nasforge.plugins import Registry
from nasforge.recipe import check, parse_options
from support.recipe_samples import REGISTRY, TrainOptions, plugin


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(PluginConfig):
    depth: int = 1


class Every(PluginConfig):
    whole: int = 0
    number: float = 0.0
    flag: bool = False
    text: str = ""
    name: Literal["sgd", "adamw"] = "sgd"
    only: Literal["on"] = "on"
    colour: Colour = Colour.RED
    positive: int = Field(1, gt=0)
    share: float = Field(0.0, ge=0, lt=1)
    most: int = Field(1, le=10)
    even: int = Field(2, multiple_of=2)
    items: list[int] = Field([1], min_length=1, max_length=3)
    pair: tuple[float, float] = (0.0, 0.0)
    table: dict[str, int] = {}  # noqa: RUF012
    inner: Inner = Inner()
    maybe: int | None = None
    either: float | Literal["auto"] = 0.0
    number_or_text: int | bool = 0
    finite: float = Field(0.0, allow_inf_nan=False)
    pattern: str = Field("a", pattern="^a+$")
    short: str = Field("ab", min_length=2)


EVERY = plugin("space", "every", Every)


def message(toml):
    with pytest.raises(RecipeError) as caught:
        parse_options(EVERY, [toml])
    (problem,) = caught.value.problems
    return problem.removeprefix("--set ")


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('whole="50"', 'whole: must be a whole number, got "50". Leave out the quotes.'),
        ("whole=1.5", "whole: must be a whole number, got 1.5."),
        ("whole=1.0", "whole: must be a whole number, got 1.0."),
        ("whole=true", "whole: must be a whole number, got true."),
        ('whole="many"', 'whole: must be a whole number, got "many".'),
        ("whole=1979-05-27", 'whole: must be a whole number, got "1979-05-27".'),
        ('number="1e-3"', 'number: must be a number, got "1e-3". Leave out the quotes.'),
        (f'number="{"1" * 5000}"', f'number: must be a number, got "{"1" * 76}....'),
        ("number=[1]", "number: must be a number, got [1]."),
        ('flag="yes"', 'flag: must be true or false, got "yes". Write true or false without quotes.'),
        ("flag=1", "flag: must be true or false, got 1."),
        ("text=3", "text: must be text in quotes, got 3."),
        ('name="sdg"', "name: must be one of 'sgd' or 'adamw', got \"sdg\". Did you mean 'sgd'?"),
        ("name=3", "name: must be one of 'sgd' or 'adamw', got 3."),
        ('only="off"', "only: must be 'on', got \"off\"."),
        ('colour="rd"', "colour: must be one of 'red' or 'blue', got \"rd\". Did you mean 'red'?"),
        ("positive=0", "positive: must be greater than 0, got 0."),
        ("share=-0.5", "share: must be at least 0, got -0.5."),
        ("share=1", "share: must be less than 1, got 1."),
        ("most=11", "most: must be at most 10, got 11."),
        ("even=3", "even: must be a multiple of 2, got 3."),
        ("items=3", "items: must be a list such as [1, 2], got 3."),
        ("items=[]", "items: must be a list of at least 1 (it has 0), got []."),
        ("items=[1, 2, 3, 4]", "items: must be a list of at most 3 (it has 4), got [1, 2, 3, 4]."),
        ('items=["x"]', 'items.0: must be a whole number, got "x".'),
        ('items=[1, "x"]', 'items.1: must be a whole number, got "x".'),
        ("pair=3", "pair: must be a list such as [1, 2], got 3."),
        ("pair=[1, 2, 3]", "pair: must be a list of at most 2 (it has 3), got [1, 2, 3]."),
        ("table=3", "table: must be a table, got 3."),
        ("table={a = 1.5}", "table.a: must be a whole number, got 1.5."),
        ("inner={dept = 1}", "inner.dept: no such option. Did you mean 'depth'?"),
        ("maybe=1.5", "maybe: must be a whole number, got 1.5."),
        ('either="aut"', "either: must be a number or 'auto', got \"aut\". Did you mean 'auto'?"),
        ("either=true", "either: must be a number or 'auto', got true."),
        ("number_or_text=1.5", "number_or_text: must be a whole number or true or false, got 1.5."),
        ("finite=inf", "finite: must be a finite number, got inf."),
        ('pattern="b"', 'pattern: must be text of the form ^a+$, got "b".'),
        ('short="a"', 'short: must be text of at least 2 characters, got "a".'),
        ("flg=true", "flg: no such option. Did you mean 'flag'?"),
    ],
)
def test_every_common_mistake_has_our_words(toml, expected):
    assert message(toml) == expected


def test_a_pair_that_is_too_short_is_named():
    assert message("pair=[1]").startswith("pair")


def test_long_values_are_cut():
    long = message(f'whole="{"x" * 500}"')
    assert len(long) < 150
    assert long.endswith("….") or "..." in long


@pytest.mark.parametrize(
    ("toml", "name", "value"),
    [
        ("number=3", "number", 3.0),
        ("pair=[1, 2]", "pair", (1.0, 2.0)),
        ("colour='blue'", "colour", Colour.BLUE),
        ("inner={depth = 3}", "inner", Inner(depth=3)),
        ("either='auto'", "either", "auto"),
        ("number=inf", "number", float("inf")),
        ("text='nan'", "text", "nan"),
    ],
)
def test_what_toml_has_no_type_for_is_converted(toml, name, value):
    assert getattr(parse_options(EVERY, [toml]), name) == value


class Preset(Every):
    """Its validator returns a dict, which makes pydantic forget that the data was JSON."""

    numbers: set[int] = set()  # noqa: RUF012
    loose: float | tuple[float, ...] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        return {"text": "filled", **data}


PRESET = plugin("space", "preset", Preset)


def test_lists_become_tuples_also_behind_a_validator_of_the_whole():
    made = parse_options(PRESET, ["pair=[1, 2.5]", "numbers=[3, 4]", "loose=[1]", "colour=blue"])
    assert (made.pair, made.numbers, made.loose) == ((1.0, 2.5), {3, 4}, (1.0,))
    assert (made.text, made.colour) == ("filled", Colour.BLUE)
    assert parse_options(PRESET, made.to_json()) == made


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (['pair=["1", 2]'], ['pair: must be a list such as [1, 2], got ["1", 2].']),
        (["pair=[true, 2]"], ["pair: must be a list such as [1, 2], got [true, 2]."]),
        (["numbers=['3']"], ['numbers: must be a list such as [1, 2], got ["3"].']),
        (["pair=[1, 2, 3]"], ["pair: must be a list of at most 2 (it has 3), got [1, 2, 3]."]),
        (["pair=[1, 2]", "whole='3'"], ['whole: must be a whole number, got "3". Leave out the quotes.']),
        (
            ["pair=['a', 2]", "whole=true"],
            ["whole: must be a whole number, got true.", 'pair.0: must be a number, got "a".'],
        ),
        (["pair=3"], ["pair: must be a list such as [1, 2], got 3."]),
    ],
)
def test_the_rest_stays_as_strict_behind_such_a_validator(sets, expected):
    with pytest.raises(RecipeError) as caught:
        parse_options(PRESET, sets)
    assert [problem.removeprefix("--set ") for problem in caught.value.problems] == expected


def test_defaults_are_as_strict_as_values():
    class Wrong(PluginConfig):
        whole: int = "3"

    with pytest.raises(RecipeError, match='whole: must be a whole number, got "3"'):
        parse_options(plugin("space", "wrong", Wrong), [])


class Below(PluginConfig):
    deep: Path = Path("i")
    deeper: frozenset[Path] = frozenset({Path("j")})


def test_a_path_may_be_a_default():
    class Paths(PluginConfig):
        one: Path = Path("a/b")
        two: Path | None = Path("c")
        home: UserPath = Path("~/x")
        several: tuple[Path, ...] = (Path("e"), Path("f"))
        named: dict[str, Path] = {"g": Path("h")}  # noqa: RUF012
        below: Below = Field(default_factory=Below)
        number: int = 1

    options = parse_options(plugin("space", "paths", Paths), ["two=d"])
    assert (options.one, options.two) == (Path("a/b"), Path("d"))
    assert options.home == Path("~/x").expanduser()
    assert (options.several, options.named) == ((Path("e"), Path("f")), {"g": Path("h")})
    assert options.below == Below()
    assert parse_options(plugin("space", "paths", Paths), ["below.deep=k"]).below.deep == Path("k")
    with pytest.raises(RecipeError) as caught:
        parse_options(plugin("space", "paths", Paths), ["number=true", "one=3"])
    assert caught.value.problems == (
        "--set one: must be text in quotes, got 3.",
        "--set number: must be a whole number, got true.",
    )


def test_complaints_about_several_options_stand_at_the_table():
    raw = {
        "data": {"use": "toys"},
        "space": {"use": "cells"},
        "searcher": {"use": "fixed"},
        "train": {"use": "train", "epochs": 1, "warmup": 2},
    }
    with pytest.raises(RecipeError) as caught:
        check(raw, REGISTRY)
    assert caught.value.problems == ("train: warmup is longer than epochs.",)


def test_no_message_speaks_pydantic():
    registry = Registry([EVERY, plugin("evaluator", "train", TrainOptions)])
    wrong = {name: {"a": [None]} for name in Every.model_fields}
    with pytest.raises(RecipeError) as caught:
        parse_options(registry.get("space", "every"), wrong)
    text = str(caught.value)
    assert len(caught.value.problems) >= len(Every.model_fields)
    assert "nput should" not in text
    assert "alid" not in text
