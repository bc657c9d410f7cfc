"""Capabilities are types: declared once, checked when the class of a plugin is loaded."""

from typing import Protocol, runtime_checkable

import pytest

from nasforge import Evaluator, NetworkSpace, Plugin, SearchSpace
from nasforge.config import BudgetedConfig, PluginConfig
from nasforge.errors import PluginError
from nasforge.evaluator import KeepsNetwork, ParallelEvaluator
from nasforge.plugins import capability
from nasforge.plugins.capabilities import describe_need, kind_of, missing_members
from nasforge.space import KnownCost, TabularSpace


class Bare(SearchSpace):
    """A space without anything special."""

    choices = ()


class Listed(Bare):
    """A space in a table, whose name instances have."""

    table_space: str

    def table_key(self, arch):
        return "0"


class Forgetful(Evaluator):
    """An evaluator that keeps nothing."""

    def evaluate(self, arch, *, budget=None):
        raise NotImplementedError


def plugin(target, *provides, kind="space", **about):
    where = f"{__name__}:{target.__name__}"
    return Plugin(kind, "mine", where, provides=frozenset(provides), **about)


def test_a_class_with_its_capabilities_is_loaded(monkeypatch):
    assert plugin(Listed, TabularSpace).load() is Listed


@pytest.mark.parametrize(
    ("description", "lacks"),
    [
        (
            plugin(Bare, NetworkSpace),
            "provides NetworkSpace, but '.*:Bare' lacks the base class NetworkSpace",
        ),
        (plugin(Bare, TabularSpace), "lacks 'table_key', 'table_space'"),
        (plugin(Bare, KnownCost), "lacks 'cost'"),
        (plugin(Forgetful, KeepsNetwork, kind="evaluator"), "lacks 'network'"),
        (plugin(Forgetful, ParallelEvaluator, kind="evaluator"), "lacks the base class ParallelEvaluator"),
    ],
)
def test_a_class_without_a_promised_capability_is_refused(description, lacks):
    with pytest.raises(PluginError, match=lacks):
        description.load()


def test_a_capability_of_a_third_party():
    @capability("space")
    @runtime_checkable
    class HasPictures(Protocol):
        def picture(self, arch): ...

    assert kind_of(HasPictures) == "space"
    assert describe_need(HasPictures) == "space with HasPictures"
    assert missing_members(HasPictures, Bare) == ["'picture'"]
    assert Plugin("searcher", "mine", "a:B", needs=frozenset({HasPictures})).requires("space")


def test_other_types_are_no_capability():
    with pytest.raises(PluginError, match=r"<class 'int'> is not a capability\. Decorate"):
        kind_of(int)


def test_an_option_that_benches_would_not_set_is_noted():
    class Other(PluginConfig):
        evaluations: int = 3
        """How many."""

    class Budgeted(BudgetedConfig):
        """Ends by itself."""

    noted = ["its option 'evaluations' is not set by benches. Derive its options from BudgetedConfig."]
    assert [list(plugin(Bare, config=config).warnings()) for config in (Other, Budgeted)] == [noted, []]
