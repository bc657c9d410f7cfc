"""The shipped settings of ``nasforge init``, and mistakes in such a file."""

import pytest

from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.recipe.shipped import find_shipped, shipped_recipes
from nasforge.recipe.start import BUDGETS, FILE, read_start

REGISTRY = Registry.discover()
TEXT = find_shipped(FILE).read_text(encoding="utf8")


def changed(tmp_path, old, new):
    assert TEXT.count(old) >= 1
    path = tmp_path / "budgets.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf8")
    with pytest.raises(RecipeError) as caught:
        read_start(path)
    assert caught.value.source == str(path)
    return "\n".join(caught.value.problems)


def test_the_shipped_file_can_be_read_and_is_no_recipe():
    start = read_start()
    assert tuple(start.budgets) == BUDGETS
    assert "budgets" not in {recipe.name for recipe in shipped_recipes()}


def test_what_it_names_is_there():
    start = read_start()
    assert set(start.data) <= set(REGISTRY.names("data"))
    for base in start.budgets.values():
        for extends, more in ((base.extends, base.searcher), (base.limited, base.limited_searcher)):
            recipe = check({"extends": extends}, REGISTRY)
            assert start.trial.profile in recipe.profiles
            options = [*base.options, *more, *(base.large.options if base.large else ())]
            for name in [*(option.option for option in options), *start.batch_options]:
                table, _, option = name.rpartition(".")
                assert option in recipe.parts[table].plugin.config.model_fields, name
            config = recipe.parts["space"].config
            assert base.widths[0] <= getattr(config, start.width.option) <= base.widths[1]
            assert base.depths[0] <= getattr(config, start.depth.option) <= base.depths[1]
            assert base.task.image_size == (recipe.parts["data"].config.image_size or 32)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sides = [16, 32", "sides = [32, 16", "sides: must be ascending, got [32, 16"),
        ("batch_size = 32", "batch_size = 0", "budgets.smoke.batch_size: must be greater than 0, got 0."),
        ("largest_side = 32", "largest_sid = 32", "budgets.minutes.largest_sid: no such option."),
        ("[budgets.minutes]", "[budgets.hours]", "budgets.hours"),
        (
            '"searcher.iterations"',
            '"iterations"',
            "budgets.smoke.searcher.0.option: must be text of the form",
        ),
        ('profile = "smoke"\n', "", "trial.profile: this option must be given"),
        ("[width]", "[width", "cannot be read"),
    ],
)
def test_mistakes_name_the_file_and_the_place(tmp_path, old, new, message):
    assert message in changed(tmp_path, old, new)


def test_a_budget_that_is_missing(tmp_path):
    at = TEXT.index("[budgets.full]")
    assert changed(tmp_path, TEXT[at:], "") == "budgets: there is no table for 'full'."


def test_a_file_that_is_missing(monkeypatch):
    monkeypatch.setattr("nasforge.recipe.start.find_shipped", lambda name: None)
    with pytest.raises(RecipeError, match=r"settings of nasforge init are missing\. Reinstall"):
        read_start()
