import json
import sys
import tomllib

import pytest

from nasforge.cli import run_command
from nasforge.cli.option_text import describe_options, page_text, table_text
from nasforge.config import sub_tables
from nasforge.plugins import Registry
from nasforge.recipe import check, parse_options, shipped
from support.recipe_samples import plugin

RECIPE = """\
[data]
use = "synthetic"
[space]
use = "darts"
cells = 5
[searcher]
use = "fixed"
[profiles.smoke.space]
cells = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(RECIPE)
    return tmp_path


def answer(capsys, *arguments):
    assert run_command(arguments) == 0
    return capsys.readouterr().out


def test_check_prints_what_differs_from_the_defaults(here, capsys):
    text = answer(capsys, "check", "good.toml", "--profile", "smoke", "--set", "run.seed=4")
    assert text.startswith("ok: good.toml is a valid recipe with profile 'smoke'.\n")
    assert "[space]     darts      cells = 3\n" in text
    assert "[run]       good       seed = 4\n" in text
    assert "[data]      synthetic  (defaults)\n" in text
    assert "Profiles: smoke." in answer(capsys, "check", "good.toml")


def test_a_deep_check_reads_the_images(here, capsys):
    text = answer(capsys, "check", "good.toml", "--deep", "--set", "data.limit_test=100")
    words = "Images: 2,000 for training and 100 for testing were read, in 10 classes, at 32 pixels.\n"
    assert words in text
    assert "Images:" not in answer(capsys, "check", "good.toml")


def test_a_deep_check_of_a_recipe_without_images_is_a_check(here, capsys):
    tables = RECIPE.replace('[data]\nuse = "synthetic"\n', "")
    (here / "bare.toml").write_text(tables)
    assert answer(capsys, "check", "bare.toml", "--deep") == answer(capsys, "check", "bare.toml")


def test_check_prints_json_that_is_a_recipe(here, capsys):
    resolved = json.loads(answer(capsys, "check", "good.toml", "--json"))
    assert resolved["space"]["cells"] == 5
    assert check(resolved, Registry.discover()).resolved() == resolved


def test_plugins_are_listed(capsys):
    lines = answer(capsys, "plugins", "list").splitlines()
    assert lines[0].split() == ["kind", "name", "from", "summary"]
    assert len(lines) == 1 + len(list(Registry.discover()))
    assert any(line.startswith("space      darts ") for line in lines)


def test_plugins_are_listed_as_json(capsys):
    listed = json.loads(answer(capsys, "plugins", "list", "--json"))
    assert {"kind", "name", "origin", "summary"} == set(listed["plugins"][0])
    assert {p["name"] for p in listed["plugins"]} >= {"darts", "synthetic", "cdarts"}
    assert listed["broken"] == []


def test_broken_plugins_and_conflicts_are_listed_with_their_reason(capsys, monkeypatch):
    registry = Registry(
        [plugin("space", "a"), plugin("space", "B")], [("x = y (z 1.0)", "ImportError: no module")]
    )
    monkeypatch.setattr(Registry, "discover", lambda: registry)
    text = answer(capsys, "plugins", "list")
    assert "broken:\n  x = y (z 1.0): ImportError: no module\n  space 'B' (tests 1): a name has" in text
    assert len(json.loads(answer(capsys, "plugins", "list", "--json"))["broken"]) == 2


@pytest.mark.parametrize("known", list(Registry.discover()), ids=lambda p: f"{p.kind}-{p.name}")
def test_what_show_prints_can_be_pasted(known):
    for text in (table_text(known), page_text(known)):
        tables = tomllib.loads(text)
        if known.kind == "observer":
            table = tables["observers"][known.name]
            assert f'# In [run]: observers = ["{known.name}"]' in text
        else:
            table = tables[known.kind]
            assert table.pop("use") == known.name
        required = {o["name"] for o in describe_options(known.config) if o["required"]}
        if not required:
            assert parse_options(known, table) == known.config()
        options = describe_options(known.config)
        for option in options:
            assert f"{option['name']} = " in text or f"[{known.kind}.{option['name']}]" in text
        for option in all_options(options):
            # A page that would be longer leaves the options of some sub-tables out.
            assert f"{option['name']} = " in table_text(known) or "options" in option
            assert option["description"], f"{known.name}.{option['name']} has no description"
            assert option["type"]


def all_options(options):
    for option in options:
        yield option
        yield from all_options(option.get("options", []))


@pytest.mark.parametrize(
    "plugin", [p for p in Registry.discover() if sub_tables(p.config)], ids=lambda p: p.name
)
def test_a_sub_table_is_shown_as_a_table_of_its_own(plugin, capsys):
    for name in sub_tables(plugin.config):
        text = answer(capsys, "plugins", "show", plugin.name, name, "--kind", plugin.kind)
        table = tomllib.loads(text)
        assert f"[{plugin.kind}.{name}]" in text
        assert parse_options(plugin, table[plugin.kind]) == plugin.config()
        assert text in answer(capsys, "plugins", "show", plugin.name, "--all", "--kind", plugin.kind)


@pytest.mark.parametrize("plugin", list(Registry.discover()), ids=lambda p: f"{p.kind}-{p.name}")
def test_show_prints_one_page(plugin, capsys):
    text = answer(capsys, "plugins", "show", plugin.name, "--kind", plugin.kind)
    assert len(text.splitlines()) <= 40
    assert f"nasforge plugins show {plugin.name} --all" in text.splitlines()[-1]


def test_show_names_a_sub_table_that_is_not_there(capsys):
    assert run_command(["plugins", "show", "gdas", "gaurd"]) == 2
    assert "error: searcher 'gdas' has no sub-table 'gaurd'. Did you mean 'guard'?" in capsys.readouterr().err
    assert run_command(["plugins", "show", "chain", "guard"]) == 2
    assert "space 'chain' has no sub-table 'guard'. It has no sub-tables." in capsys.readouterr().err


def test_show_prints_needs_defaults_and_types(capsys):
    text = answer(capsys, "plugins", "show", "cdarts")
    assert "Needs: data, distiller, space with NetworkSpace." in text
    assert '[searcher]\nuse = "cdarts"\n' in text
    assert "(whole number, above 0)" in answer(capsys, "plugins", "show", "cdarts", "--all")
    guard = json.loads(answer(capsys, "plugins", "show", "gdas", "--json"))["options"]
    (guard,) = (option for option in guard if option["name"] == "guard")
    assert guard["type"] == "table"
    assert (guard["options"][0]["name"], guard["options"][0]["default"]) == ("policy", "off")
    report = json.loads(answer(capsys, "plugins", "show", "darts", "--kind", "space", "--json"))
    capabilities = ["CellTypes", "NetworkSpace", "PartialChannels", "PlainNetworks", "ReducedNetworks"]
    assert report["provides"] == capabilities
    cells = next(option for option in report["options"] if option["name"] == "cells")
    assert (cells["default"], cells["required"]) == (20, False)
    assert cells["type"].startswith("whole number")


def test_a_name_of_several_kinds_asks_for_the_kind(capsys, monkeypatch):
    registry = Registry([plugin("space", "table"), plugin("evaluator", "table")])
    monkeypatch.setattr(Registry, "discover", lambda: registry)
    assert run_command(["plugins", "show", "table"]) == 2
    assert "'table' is a space and an evaluator. Say which with --kind." in capsys.readouterr().err
    assert "[evaluator]" in answer(capsys, "plugins", "show", "table", "--kind", "evaluator")


@pytest.fixture
def shipped_folder(tmp_path, monkeypatch):
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(shipped, "_folder", lambda: folder)
    (folder / "first.toml").write_text(f"# The first one\n{RECIPE}")
    (folder / "second.toml").write_text(RECIPE.replace("[profiles.smoke.space]\ncells = 3\n", ""))
    return folder


def test_shipped_recipes_are_listed(here, capsys, shipped_folder):
    lines = answer(capsys, "recipes", "list").splitlines()
    assert lines == [
        "name    time  profiles  summary",
        "first   -     smoke     The first one",
        "second  -     -",
    ]
    listed = json.loads(answer(capsys, "recipes", "list", "--json"))
    assert [(r["name"], r["profiles"], r["costs"]) for r in listed] == [
        ("first", ["smoke"], []),
        ("second", [], []),
    ]


def test_the_list_of_recipes_says_where_its_times_are_from(here, capsys, shipped_folder):
    costs = {
        "first": {
            "": {"how": "measured", "seconds": 7000.0, "stages": {}},
            "smoke": {"how": "derived", "seconds": 30.0, "stages": {}},
        }
    }
    missing = {"second": {"": "no images"}}
    stored = {"machine": "a computer", "costs": costs, "missing": missing}
    (shipped_folder / "costs.json").write_text(json.dumps(stored))
    lines = answer(capsys, "recipes", "list").splitlines()
    assert lines[1] == "first   =1 h 57 min  smoke ~30 s  The first one"
    assert lines[-2].startswith("Times: a computer. '~' is derived (")
    assert lines[-1] == "No time: second: no images."
    listed = json.loads(answer(capsys, "recipes", "list", "--json"))
    assert listed[0]["costs"][1] == {
        "profile": "smoke",
        "seconds": 30.0,
        "how": "derived",
        "machine": "a computer",
    }
    assert listed[1]["missing"] == missing["second"]


def test_shipped_recipes_are_shown_and_checked_by_name(here, capsys, shipped_folder):
    assert answer(capsys, "recipes", "show", "first") == f"# The first one\n{RECIPE}"
    assert answer(capsys, "check", "first").startswith("ok: ")


def test_shipped_recipes_are_copied_but_never_over_a_file(here, capsys, shipped_folder):
    answer(capsys, "recipes", "copy", "first")
    assert (here / "first.toml").read_text().endswith(RECIPE)
    answer(capsys, "recipes", "copy", "first", "deep/er/mine.toml")
    answer(capsys, "recipes", "copy", "second", "deep")
    assert "copied to new/second.toml." in answer(capsys, "recipes", "copy", "second", "new")
    assert (here / "deep/er/mine.toml").is_file()
    assert (here / "deep/second.toml").is_file()
    (here / "first.toml").write_text("mine")
    assert run_command(["recipes", "copy", "first"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (here / "first.toml").read_text() == "mine"


def test_inspect_tells_what_a_space_holds(capsys):
    report = json.loads(answer(capsys, "inspect", "nasbench201", "--json"))
    assert report["size"] == 15625
    assert [len(choice["options"]) for choice in report["choices"]] == [5] * 6
    assert report["supernet_params"] > 0
    assert set(report) == {
        "space",
        "options",
        "num_classes",
        "image_size",
        "size",
        "choices",
        "supernet_params",
    }
    assert "15,625 architectures" in answer(capsys, "inspect", "nasbench201")


def test_inspect_measures_an_architecture(capsys):
    arguments = ["inspect", "darts", "--arch", "DARTS_V2"]
    report = json.loads(answer(capsys, *arguments, "--json"))
    # The count DARTS reports for this cell, 3.3 M, without the auxiliary head.
    assert report["params"] == 3_349_342
    assert report["macs"] > report["params"]
    assert set(report) == {
        "space",
        "options",
        "num_classes",
        "image_size",
        "arch",
        "notation",
        "params",
        "macs",
    }
    assert "3,349,342 (3.349 M)" in answer(capsys, *arguments)


def test_inspect_draws_an_architecture(here, capsys):
    small = ["inspect", "darts", "--arch", "DARTS_V2", "--set", "cells=3"]
    assert "Drawn in cells.svg." in answer(capsys, *small, "--svg", "cells.svg")
    drawn = (here / "cells.svg").read_text()
    assert drawn.startswith("<svg ")
    assert drawn.count(">sep_conv_3x3</text>") == 5
    assert "notation" in json.loads(answer(capsys, *small, "--svg", "again.svg", "--json"))
    assert (here / "again.svg").read_text() == drawn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--svg", "cells.svg"], "no architecture to draw"),
        (["--arch", "DARTS_V2", "--svg", "nowhere/cells.svg"], "cannot be written: No such file"),
    ],
)
def test_what_inspect_cannot_draw(here, capsys, arguments, said):
    assert run_command(["inspect", "darts", "--set", "cells=3", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_inspect_reads_options_classes_size_and_files(here, capsys):
    small = ["inspect", "darts", "--set", "cells=3", "--set", "space.channels=4", "--json"]
    report = json.loads(
        answer(capsys, *small, "--arch", "DARTS_V1", "--num-classes", "100", "--image-size", "16")
    )
    assert (report["options"]["cells"], report["options"]["channels"]) == (3, 4)
    assert (report["num_classes"], report["image_size"]) == (100, 16)
    (here / "arch.txt").write_text(report["notation"] + "\n")
    again = json.loads(answer(capsys, *small, "--arch", "@arch.txt"))
    assert again["arch"] == report["arch"]
    assert again["params"] < report["params"]
    assert again["macs"] > report["macs"]


def test_a_space_without_networks_is_inspected_too(capsys, monkeypatch):
    from nasforge.arch import Choice
    from nasforge.space import SearchSpace

    class Plain(SearchSpace):
        choices = (Choice("x", ("a", "b")),)

    monkeypatch.setattr(sys.modules[__name__], "Plain", Plain, raising=False)
    described = plugin("space", "plain")
    object.__setattr__(described, "target", f"{__name__}:Plain")
    monkeypatch.setattr(type(described), "load", lambda self: Plain)
    monkeypatch.setattr(Registry, "discover", lambda: Registry([described]))
    report = json.loads(answer(capsys, "inspect", "plain", "--json"))
    assert (report["size"], report["supernet_params"]) == (2, None)
    text = answer(capsys, "inspect", "plain", "--arch", '{"x": "b"}')
    assert "none (this space builds no networks)" in text
    assert run_command(["inspect", "plain", "--arch", '{"x": "b"}', "--svg", "x.svg"]) == 2
    assert "does not say how to draw" in capsys.readouterr().err
