"""The zero-cost evaluator: finite on every space, a function of seed and architecture, ranks of several."""

import math
from random import Random
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.cost import plainly_computed
from nasforge.errors import RunError
from nasforge.plugins import Registry
from nasforge.space import NetworkSpace, PlainNetworks
from nasforge.testing.parts import TinySpace
from nasforge_plugins.evaluators.zero_cost import evaluator as module
from nasforge_plugins.evaluators.zero_cost.config import ProxyName, ZeroCostConfig
from nasforge_plugins.evaluators.zero_cost.evaluator import ZeroCost
from nasforge_plugins.evaluators.zero_cost.proxies import PROXIES
from nasforge_plugins.evaluators.zero_cost.ranking import mean_place, place
from support.tiny_training import ARCH, TinyData, context

ALL = tuple(PROXIES)
REGISTRY = Registry.discover()
SPACES = [plugin for plugin in REGISTRY.of("space") if NetworkSpace in plugin.provides]


def made(folder, data=None, seed=0, space=None, **options):
    evaluator = ZeroCost(ZeroCostConfig(**{"batch_size": 6, **options}))
    parts = {} if space is None else {"space": space}
    evaluator.setup(context(folder, data, "search", seed, **parts))
    return evaluator


def test_every_proxy_is_an_option():
    assert set(get_args(ProxyName)) == set(PROXIES)


def test_the_old_name_of_grasp_names_the_new_ones():
    with pytest.raises(ValidationError, match=r"'grasp_exact' is called 'grasp' now.*'grasp_fast'"):
        ZeroCostConfig(proxies=("naswot", "grasp_exact"))


def test_zen_averages_over_as_many_draws_as_wanted(tmp_path):
    one, many = (made(tmp_path, proxies=("zen",), zen_draws=draws).proxies(ARCH) for draws in (1, 3))
    assert one != many
    assert one["zen"] == pytest.approx(many["zen"], rel=0.5)
    assert many == made(tmp_path, proxies=("zen",), zen_draws=3).proxies(ARCH)


@pytest.mark.parametrize("plugin", SPACES, ids=lambda plugin: plugin.name)
def test_finite_on_every_space(plugin, tmp_path):
    space = plugin.load()(plugin.config(**plugin.tiny))
    evaluator, rng = made(tmp_path, space=space, proxies=ALL), Random(1)
    # The first options of all choices: in cell spaces a network that is cut off from its images.
    first = space.canonical(Arch({c.name: c.options[: c.k] for c in space.choices}))
    for arch in (first, *(space.sample(rng) for _ in range(2))):
        result = evaluator.evaluate(arch)
        assert all(math.isfinite(value) for value in result.metrics.values()), result.metrics
        assert result.metrics["flops"] == result.metrics["macs"] > 0


@pytest.mark.parametrize(
    "plugin",
    [plugin for plugin in SPACES if PlainNetworks in plugin.provides],
    ids=lambda plugin: plugin.name,
)
def test_the_fast_way_is_left(plugin):
    space = plugin.load()(plugin.config(**plugin.tiny))
    assert plainly_computed(space).config.execution == "reference"
    assert plainly_computed(space).choices == space.choices


def test_a_space_without_the_option_is_taken_as_it_is():
    space = TinySpace(PluginConfig())
    assert plainly_computed(space) is space


def test_seed_and_architecture_decide(tmp_path):
    first = made(tmp_path, proxies=ALL)
    values = first.evaluate(ARCH).metrics
    torch.manual_seed(123)
    second = made(tmp_path, proxies=tuple(reversed(ALL)))
    second.evaluate(Arch({"layer": "skip"}))
    assert second.evaluate(ARCH).metrics == values
    other = made(tmp_path, seed=1, proxies=ALL).evaluate(ARCH).metrics
    assert other["naswot"] != values["naswot"]
    assert other["params"] == values["params"]


def test_the_global_generator_goes_on_as_if_nothing_had_happened(tmp_path):
    evaluator = made(tmp_path, proxies=ALL)
    before = torch.get_rng_state()
    evaluator.evaluate(ARCH)
    assert torch.equal(before, torch.get_rng_state())


def test_the_first_proxy_is_the_score(tmp_path):
    result = made(tmp_path, proxies=("snip", "params")).evaluate(ARCH)
    assert result.score == result.metrics["snip"]
    assert set(result.metrics) == {"snip", "params", "macs"}


def test_a_budget_averages_over_batches(tmp_path):
    data = TinyData()
    evaluator = made(tmp_path, data, proxies=("grad_norm",))
    one, two = (evaluator.evaluate(ARCH, budget=count).score for count in (1, 2))
    assert one != two
    assert made(tmp_path, batches=2, proxies=("grad_norm",)).evaluate(ARCH).score == two
    # 24 images are four batches: the fifth begins the next pass.
    evaluator.evaluate(ARCH, budget=5)
    assert data.read == ["weights", "weights"]


def test_ranks_compare_with_the_same_architectures_always(tmp_path):
    options = {"proxies": ("params", "snip"), "aggregate": "rank", "reference": 6}
    evaluator = made(tmp_path / "a", **options)
    large, small = (evaluator.evaluate(Arch({"layer": name})).score for name in ("conv3", "skip"))
    assert large > small
    # Another process reads the reference from its slot, and one without it computes the same.
    for folder in ("a", "b"):
        assert made(tmp_path / folder, **options).evaluate(Arch({"layer": "skip"})).score == small


def test_numbers_that_are_none_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROXIES", {"snip": lambda network, images, labels: math.nan})
    with pytest.raises(RunError, match=r"proxy 'snip' of .*conv3.* is nan"):
        made(tmp_path, proxies=("snip",)).evaluate(ARCH)


def test_options_are_checked():
    with pytest.raises(ValidationError, match="listed once"):
        ZeroCostConfig(proxies=("snip", "snip"))
    with pytest.raises(ValidationError):
        ZeroCostConfig(proxies=())


def test_place_by_hand():
    others = [1.0, 3.0, 3.0, 5.0]
    assert [place(v, others) for v in (1, 2, 3, 4, 5)] == [0.125, 0.25, 0.5, 0.75, 0.875]
    assert place(7.0, others) == 1.0 + 0.5 / 4
    assert place(-3.0, others) == -1.0 / 4
    assert place(9.0, [2.0, 2.0]) == 1.0
    assert mean_place({"a": 5.0, "b": 0.0}, [{"a": 1.0, "b": 1.0}, {"a": 5.0, "b": 2.0}]) == (0.75 - 0.5) / 2


numbers = st.floats(-1e6, 1e6)


@given(st.lists(numbers, min_size=2, max_size=8), numbers, numbers)
def test_a_higher_value_never_has_a_lower_place(others, first, second):
    low, high = sorted((first, second))
    assert place(low, others) <= place(high, others)
