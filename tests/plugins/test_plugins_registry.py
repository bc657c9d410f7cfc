import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
from pydantic import BaseModel

from nasforge.config import PluginConfig
from nasforge.errors import PluginError
from nasforge.plugins import Plugin, Registry, hookimpl
from nasforge.plugins.kinds import with_article
from nasforge.space import NetworkSpace
from support.recipe_samples import plugin


@pytest.fixture
def module(monkeypatch):
    """Makes importable modules whose hook answers with what is given."""

    def make(name, answer, hook="nasforge_plugins"):
        made = ModuleType(name)

        def nasforge_plugins():
            return answer() if callable(answer) else answer

        nasforge_plugins.__name__ = hook
        setattr(made, hook, hookimpl(nasforge_plugins))
        monkeypatch.setitem(sys.modules, name, made)
        return EntryPoint(name.replace("_", "-"), name, "nasforge")

    return make


def reasons(registry):
    return [reason for _, reason in registry.broken]


def test_a_module_is_asked_for_its_plugins(module):
    registry = Registry.discover([module("good_one", [plugin("space", "a"), plugin("data", "b")])])
    assert [(p.kind, p.name) for p in registry] == [("data", "b"), ("space", "a")]
    assert registry.broken == []
    assert registry.get("space", "a").origin == "good_one"


def test_plugins_may_come_from_a_generator(module):
    registry = Registry.discover([module("lazy_one", lambda: (plugin("space", n) for n in "ab"))])
    assert registry.names("space") == ["a", "b"]


def raising(error):
    def answer():
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "nasforge_plugins() returned None. Return a list of Plugin."),
        (3, "nasforge_plugins() returned 3. Return a list of Plugin."),
        (["x"], "the hook returned 'x', which is not a Plugin."),
        (raising(ValueError("no\n  luck")), "ValueError: no luck"),
        (raising(SystemExit("bye")), "SystemExit: bye"),
        ([plugin("spce", "a")], "no kind 'spce'. Did you mean 'space'?"),
        ([plugin("space", "My_Space")], "a name has lower-case letters, digits and hyphens only."),
        ([plugin("space", "a-")], "a name has lower-case letters, digits and hyphens only."),
        ([plugin("space", "a", BaseModel)], f"its config {BaseModel!r} is not a subclass of PluginConfig."),
        (
            [plugin("space", "a", PluginConfig())],
            "its config PluginConfig() is not a subclass of PluginConfig.",
        ),
        (
            [replace(plugin("space", "a"), target="module.Class")],
            "the target 'module.Class' is not of the form",
        ),
        (
            [plugin("space", "a", needs={"dta"})],
            "it needs 'dta', and there is no kind 'dta'. Did you mean 'data'?",
        ),
        (
            [plugin("space", "a", needs={"space:supernet"})],
            "its needs has 'space:supernet', but capabilities are types. Write NetworkSpace, from nas",
        ),
        (
            [replace(plugin("evaluator", "a"), provides=frozenset({"weights"}))],
            "its provides has 'weights', but capabilities are types. Write KeepsNetwork, from nasforge.evalu",
        ),
        (
            [replace(plugin("evaluator", "a"), provides=frozenset({"magic"}))],
            "its provides has 'magic', but capabilities are types. Write a class or protocol declared with",
        ),
        (
            [replace(plugin("evaluator", "a"), provides=frozenset({NetworkSpace}))],
            "it provides NetworkSpace, which is a capability of kind 'space'. Remove it.",
        ),
        (
            [replace(plugin("space", "a"), provides=frozenset({int}))],
            "its description cannot be read: PluginError: <class 'int'> is not a capability.",
        ),
        ([replace(plugin("space", "a"), tiny={"x": 1})], "tiny sets 'x', which is not an option."),
        ([plugin("space", "a"), plugin("space", "a")], "is described twice by the same distribution."),
        (
            [replace(plugin("space", "a"), api=2)],
            "it was written for plugin API 2, this nasforge has API 1. Update nasforge.",
        ),
        (
            [replace(plugin("space", "a"), api=0)],
            "it was written for plugin API 0, this nasforge has API 1. Update the plugin.",
        ),
        ([replace(plugin("space", "a"), needs=None)], "its description cannot be read: TypeError: "),
        ([replace(plugin("space", "a"), tiny=3)], "its description cannot be read: TypeError: "),
        ([replace(plugin("space", "a"), api="1")], "its description cannot be read: TypeError: "),
    ],
)
def test_what_is_wrong_with_a_plugin_is_told_and_the_others_work(module, answer, reason):
    points = [module("a_good_one", [plugin("data", "fine")]), module("bad_one", answer)]
    points.append(module("z_good_one", [plugin("searcher", "fine")]))
    registry = Registry.discover(points)
    assert len(registry.broken) == 1
    assert reasons(registry)[0].startswith(reason)
    assert registry.get("data", "fine")
    assert registry.get("searcher", "fine")
    assert "bad" in registry.broken[0][0]


def test_one_wrong_description_leaves_the_rest_of_its_module(module):
    registry = Registry.discover([module("half_bad", [plugin("space", "a"), plugin("space", "B")])])
    assert registry.names("space") == ["a"]
    assert registry.broken[0][0] == "space 'B' (half_bad)"


@pytest.mark.parametrize("kind", ["space", "evaluator"])
def test_options_cannot_have_the_names_of_what_stands_beside_them(kind):
    class Taken(PluginConfig):
        distiller: int = 0

    class Used(PluginConfig):
        use: str = ""

    assert reasons(Registry([plugin(kind, "a", Used)])) == [
        f"an option of {with_article(kind)} cannot be called 'use'. Rename it."
    ]
    assert len(Registry([plugin(kind, "a", Taken)]).broken) == (kind == "evaluator")


def test_a_module_that_cannot_be_imported_is_broken():
    registry = Registry.discover([EntryPoint("gone", "nowhere_to_be_found", "nasforge")])
    assert registry.broken == [
        (
            "gone = nowhere_to_be_found (nowhere_to_be_found)",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        )
    ]


def test_a_misspelt_hook_is_broken_and_alone_so(module):
    registry = Registry.discover(
        [module("a_bad_one", [], hook="nasforge_plugin"), module("good_one", [plugin("space", "a")])]
    )
    assert "nasforge_plugin" in reasons(registry)[0]
    assert registry.names("space") == ["a"]
    assert len(registry.broken) == 1


def test_a_module_without_a_hook_is_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "hookless", ModuleType("hookless"))
    registry = Registry.discover([EntryPoint("x", "hookless", "nasforge")])
    assert reasons(registry) == ["implements no hook. Decorate nasforge_plugins() with @hookimpl."]


def test_a_module_named_by_two_entry_points_counts_once(module):
    point = module("good_one", [plugin("space", "a")])
    registry = Registry.discover([point, EntryPoint("other", "good_one", "nasforge")])
    assert registry.names("space") == ["a"]
    assert registry.get("space", "a")
    assert reasons(registry) == ["good_one is named by another entry point already."]


def test_a_name_claimed_by_two_distributions_is_an_error_that_names_them(module):
    points = [module("first_one", [plugin("space", "a")]), module("other_one", [plugin("space", "a")])]
    registry = Registry.discover([*points, module("third_one", [plugin("space", "b")])])
    with pytest.raises(PluginError, match="space 'a' is provided by first_one and other_one"):
        registry.get("space", "a")
    assert [p.name for p in registry.of("space")] == ["b"]
    assert [plugin for plugin, _ in registry.conflicts] == ["space 'a'"]
    assert registry.get("space", "b")


def test_entry_points_can_be_disabled(module, monkeypatch):
    monkeypatch.setenv("NASFORGE_DISABLE", "first-one, other")
    registry = Registry.discover(
        [module("first_one", [plugin("space", "a")]), module("other_one", [plugin("space", "a")])]
    )
    assert registry.get("space", "a").origin == "other_one"
    assert registry.disabled == ["first-one"]


def test_what_a_plugin_prints_is_kept_from_the_output_and_told(module, capsys):
    def answer():
        print("\nhello\nworld")
        return [plugin("space", "a")]

    registry = Registry.discover([module("loud_one", answer), module("quiet_one", [plugin("space", "b")])])
    assert capsys.readouterr().out == ""
    assert registry.names("space") == ["a", "b"]
    assert registry.notes == [
        ("loud-one = loud_one (loud_one)", "prints 'hello' when it is listed. Remove the print.")
    ]


def test_what_a_broken_plugin_printed_is_told_too(module):
    def answer():
        print("oh")
        raise ValueError("no")

    registry = Registry.discover([module("loud_one", answer)])
    assert reasons(registry) == ["ValueError: no"]
    assert registry.notes[0][1].startswith("prints 'oh'")


def test_plugins_that_import_torch_when_listed_are_told(module, monkeypatch):
    torch = sys.modules["torch"]
    monkeypatch.delitem(sys.modules, "torch")

    def answer():
        sys.modules["torch"] = torch
        return [plugin("space", "a")]

    registry = Registry.discover([module("heavy_one", answer), module("later_one", [plugin("space", "b")])])
    assert [at for at, _ in registry.notes] == ["heavy-one = heavy_one (heavy_one)"]
    assert registry.notes[0][1].startswith("imports torch when it is listed")
    assert registry.names("space") == ["a", "b"]


def test_every_plugin_knows_the_module_of_its_hook(module):
    registry = Registry.discover([module("good_one", [plugin("space", "a")])])
    assert registry.get("space", "a").module == "good_one"


def test_a_target_that_is_missing_is_found_out_without_importing_it():
    assert Plugin("space", "a", "json.decoder:JSONDecoder").missing_target() is None
    assert Plugin("space", "a", "this.s:Zen").missing_target() is not None
    assert Plugin("space", "a", "antigravity:X").missing_target() is None
    assert "antigravity" not in sys.modules
    missing = Plugin("space", "a", "nasforge.nowhere:Thing").missing_target()
    assert missing == "its target 'nasforge.nowhere:Thing' cannot be found: no module 'nasforge.nowhere'."


def test_a_registry_can_be_extended_without_being_changed():
    known, new = plugin("space", "a"), plugin("space", "b")
    registry = Registry([known], [("x", "gone")])
    registry.notes = [("y", "prints")]
    more = registry.extended([replace(known, origin="again"), new])
    assert (registry.names("space"), more.names("space")) == (["a"], ["a", "b"])
    assert (more.broken, more.notes, more.conflicts) == ([("x", "gone")], [("y", "prints")], [])


def test_names_that_do_not_exist_come_with_a_suggestion():
    registry = Registry([plugin("space", "darts"), plugin("searcher", "random")])
    with pytest.raises(PluginError, match=r"no space named 'dart'. Did you mean 'darts'?"):
        registry.get("space", "dart")
    with pytest.raises(PluginError, match=r"'random' is a searcher, not a space. Known: darts."):
        registry.get("space", "random")
    with pytest.raises(PluginError, match=r"no data named 'x'.$"):
        registry.get("data", "x")


def test_a_missing_name_points_at_broken_plugins():
    with pytest.raises(PluginError, match=r"1 broken: see `nasforge plugins list`"):
        Registry([], [("space-darts", "gone")]).get("space", "darts")


def test_a_target_that_is_not_there_says_whose_it_is():
    gone = Plugin("space", "a", "nowhere_to_be_found:Thing", origin="some 1.0")
    with pytest.raises(PluginError, match=r"space 'a' \(some 1.0\): cannot be loaded from 'nowhere_to_be"):
        gone.load()
    with pytest.raises(PluginError, match="AttributeError"):
        Plugin("space", "a", "json:Thing").load()


def test_the_built_ins_come_in_by_the_same_door():
    registry = Registry.discover()
    assert registry.broken == []
    assert all(p.origin.startswith("nasforge ") for p in registry if p.target.startswith("nasforge_plugins."))
    assert {"digits", "synthetic"} <= set(registry.names("data"))
