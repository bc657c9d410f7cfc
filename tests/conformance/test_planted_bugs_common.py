"""Bugs that any plugin can have, planted: the kit finds each, and says what it is."""

import random
import sys
import tempfile

import pytest

from nasforge.config import PluginConfig
from nasforge.errors import PluginError
from nasforge.evaluator import KeepsNetwork, ParallelEvaluator
from nasforge.images.config import UserPath
from nasforge.testing import checks_for, conformance
from nasforge.testing.parts import TinyData, TinyDistiller, TinyEvaluator, TinySpace
from support.planting import assert_caught, find, plugin_of


class Undescribed(PluginConfig):
    epochs: int = 3


class Required(PluginConfig):
    epochs: int
    """Passes over the images."""


class Located(PluginConfig):
    root: UserPath
    """Where the files are."""


class OpensFile(TinyEvaluator):
    def __init__(self, config):
        super().__init__(config)
        with tempfile.TemporaryFile() as file:
            file.write(b"x")


class DrawsNumbers(TinyEvaluator):
    def __init__(self, config):
        super().__init__(config)
        self.seed = random.random()


class ForgetsConfig(TinyEvaluator):
    def __init__(self, config):
        pass


class TakesMore(TinyEvaluator):
    def __init__(self, config, epochs):
        super().__init__(config)


@pytest.mark.parametrize(
    ("about", "name", "words"),
    [
        ({"config": Undescribed}, "options_are_described", "'epochs'"),
        ({"config": Required, "tiny": {"epochs": 1}}, "options_have_defaults", "epochs"),
        ({"config": Located, "tiny": {"root": "x"}}, "options_have_defaults", "root"),
        ({"tiny": {"epoch": 1}}, "tiny_options_are_valid", "'epoch'"),
        ({"config": Required, "tiny": {"epochs": "many"}}, "tiny_options_are_valid", "epochs"),
    ],
)
def test_wrong_options(about, name, words):
    assert_caught(plugin_of("evaluator", TinyEvaluator, **about), name, words)


def test_data_alone_may_ask_where_its_files_are():
    find(plugin_of("data", TinyData, config=Located), "options_have_defaults")()
    assert_caught(plugin_of("data", TinyData, config=Required), "options_have_defaults", "epochs")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (OpensFile, "opens"),
        (DrawsNumbers, "draws random numbers"),
        (ForgetsConfig, "super().__init__(config)"),
        (TakesMore, "epochs"),
    ],
)
def test_constructors_that_work(target, words):
    assert_caught(plugin_of("evaluator", target), "constructor_does_no_work", words)


class Keeps(TinyEvaluator):
    def network(self, arch):
        return None


@pytest.mark.parametrize(
    ("target", "provided", "words"),
    [
        (Keeps, (), "the class has KeepsNetwork, which 'provides' does not list"),
        (TinyEvaluator, (KeepsNetwork,), "provides KeepsNetwork, but "),
        (TinyEvaluator, (ParallelEvaluator,), "lacks the base class ParallelEvaluator"),
    ],
)
def test_capabilities_that_are_hidden_or_only_promised(target, provided, words):
    plugin = plugin_of("evaluator", target, provides=frozenset(provided))
    assert_caught(plugin, "capabilities_are_declared", words)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import torch\n", "imports torch"),
        ("print('hello')\n", "hello"),
        ("raise RuntimeError('no licence')\n", "no licence"),
    ],
)
def test_heavy_loud_and_broken_modules(source, words, tmp_path, monkeypatch):
    (tmp_path / "planted_module.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = plugin_of("space", TinySpace)
    assert_caught(plugin, "listing_is_light", words, module="planted_module")


def test_a_target_that_cannot_be_imported_is_told():
    from nasforge.plugins import Plugin

    plugin = Plugin("distiller", "planted", "no_such_module:Thing")
    assert_caught(plugin, "constructor_does_no_work", "no_such_module")


def plugin_module(tmp_path, monkeypatch, name):
    source = (
        "from nasforge.plugins import Plugin, hookimpl\n"
        "@hookimpl\n"
        "def nasforge_plugins():\n"
        f"    return [Plugin('distiller', 'mine', '{TinyDistiller.__module__}:TinyDistiller')]\n"
    )
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_decorator_makes_one_test_per_check(tmp_path, monkeypatch):
    plugin_module(tmp_path, monkeypatch, "planted_plain")
    mark = conformance("planted_plain", {"state_is_restored": "kept elsewhere"})
    parameters = {p.id: p for p in mark.args[1]}
    assert set(parameters) == {f"mine-{c.name}" for c in checks_for(plugin_of("distiller", TinyDistiller))}
    (waiver,) = parameters["mine-state_is_restored"].marks
    assert waiver.kwargs == {"reason": "kept elsewhere", "strict": True}
    assert all(not p.marks for name, p in parameters.items() if name != "mine-state_is_restored")


def test_waivers_need_a_check_and_a_reason(tmp_path, monkeypatch):
    plugin_module(tmp_path, monkeypatch, "planted_waivers")
    with pytest.raises(PluginError, match="Did you mean 'state_is_restored'"):
        conformance("planted_waivers", {"state_is_restord": "x"})
    with pytest.raises(PluginError, match="needs a reason"):
        conformance("planted_waivers", {"state_is_restored": " "})


def test_a_module_without_plugins_is_told():
    with pytest.raises(PluginError, match="describes no plugin"):
        conformance("nasforge.arch")


def test_every_rule_has_a_name_and_a_sentence():
    from nasforge.testing.kit import RULES

    for rules in RULES.values():
        for rule in rules:
            assert rule.__doc__.strip().endswith("."), rule.__name__
        assert len({rule.__name__ for rule in rules}) == len(rules)
