"""Costs that add up: sums, bounds and cheap answers."""

import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from nasforge.arch import Arch, Choice
from nasforge.cost.additive import AdditiveCost, Term

INPUTS = Choice("inputs", ("in0", "in1", "in2"), k=2, kind="edge")
OPERATIONS = tuple(Choice(f"op/{source}", ("conv", "skip")) for source in INPUTS.options)
ALONE = Choice("alone", ("a", "b"))
CHOICES = (INPUTS, *OPERATIONS, ALONE)
PATHS = [
    *(((("inputs", source)),) for source in INPUTS.options),
    *((("inputs", c.name[3:]), (c.name, option)) for c in OPERATIONS for option in c.options),
    *((("alone", option),) for option in ALONE.options),
]
PRICES = st.lists(st.integers(0, 50).map(float), min_size=len(PATHS), max_size=len(PATHS))


def architectures():
    for two, *ops, alone in itertools.product(
        itertools.combinations(INPUTS.options, 2), *(c.options for c in OPERATIONS), ALONE.options
    ):
        picks = {c.name: o for c, o in zip(OPERATIONS, ops, strict=True)}
        yield Arch({"inputs": two, **picks, "alone": alone})


def made(prices, rest=3.0):
    terms = [Term(path, {"macs": price}) for path, price in zip(PATHS, prices, strict=True)]
    return AdditiveCost(CHOICES, {"macs": rest}, terms)


def by_hand(arch, prices, rest=3.0):
    return rest + sum(
        price
        for path, price in zip(PATHS, prices, strict=True)
        if all(option in arch[choice] for choice, option in path)
    )


@given(PRICES)
def test_the_bound_is_the_cheapest_architecture_and_sums_are_right(prices):
    cost = made(prices)
    sums = [cost.of(arch)["macs"] for arch in architectures()]
    assert sums == [by_hand(arch, prices) for arch in architectures()]
    assert cost.bound("macs") == min(sums)


@given(PRICES)
def test_cheaper_options_have_larger_weights(prices):
    cost = made(prices)
    weights = cost.preferences("macs")
    a, b = prices[-2:]
    assert (weights["alone"][0] > weights["alone"][1]) == (a < b)
    # An input is as dear as itself and its cheapest operation.
    dear = [prices[i] + min(prices[3 + 2 * i : 5 + 2 * i]) for i in range(3)]
    order = sorted(range(3), key=lambda i: -weights["inputs"][i])
    assert [dear[i] for i in order] == sorted(dear)


@given(PRICES)
def test_json_keeps_everything(prices):
    cost = made(prices)
    again = AdditiveCost.from_json(CHOICES, cost.to_json())
    assert again.terms == cost.terms
    assert again.rest == cost.rest


def test_terms_of_equal_picks_are_added_and_unlisted_options_are_free():
    cost = AdditiveCost((ALONE,), {"macs": 1.0}, [Term((("alone", "a"),), {"macs": 2.0})] * 3)
    assert [cost.of(Arch({"alone": o}))["macs"] for o in "ab"] == [7.0, 1.0]
    assert cost.bound("macs") == 1.0


def test_thousands_of_choices_take_no_quadratic_time():
    choices = [Choice(f"c{i}", tuple("abcd")) for i in range(3200)]
    terms = [Term(((c.name, o),), {"macs": float(i)}) for i, c in enumerate(choices) for o in c.options]
    started = time.process_time()
    cost = AdditiveCost(choices, {"macs": 0.0}, terms)
    assert cost.bound("macs") == sum(range(3200))
    cost.preferences("macs")
    assert cost.of(Arch({c.name: "a" for c in choices}))["macs"] == sum(range(3200))
    assert time.process_time() - started < 5  # a quarter of a second; quadratic: minutes
