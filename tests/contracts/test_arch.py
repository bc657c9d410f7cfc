import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasforge.arch import Arch, Choice
from nasforge.errors import ArchError

names = st.text("abc/_0123", min_size=1, max_size=5)
answers = st.one_of(names, st.lists(names, min_size=1, max_size=3, unique=True))


@given(st.dictionaries(names, answers))
def test_json_round_trip(picks):
    arch = Arch(picks)
    again = Arch(arch.to_json())
    assert again == arch
    assert hash(again) == hash(arch)
    assert again.to_json() == arch.to_json()


def test_order_of_choices_and_of_picks_has_no_meaning_but_picks_keep_theirs():
    one, other = Arch({"a": "x", "b": ["p", "q"]}), Arch({"b": ["q", "p"], "a": "x"})
    assert one == other
    assert one.key == other.key
    assert other["b"] == ("q", "p")


def test_different_answers_differ():
    assert Arch({"a": "x"}) != Arch({"a": "y"})
    assert Arch({"a": "x"}) != {"a": ("x",)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.b", ("x",)), "no dot"),
        (("", ("x",)), "not empty"),
        (("a", ("x", "x")), "listed twice"),
        (("a", ("x", "y"), 3), "1 to 2, got 3"),
    ],
)
def test_impossible_choices_are_refused(arguments, words):
    with pytest.raises(ArchError, match=words):
        Choice(*arguments)


@given(st.dictionaries(st.sampled_from("abc"), st.permutations("xyz"), min_size=1), st.permutations("xyz"))
def test_another_answer_is_as_good_as_a_new_architecture(picks, answer):
    name = next(iter(picks))
    changed = Arch(picks).with_answer(name, answer[:2])
    fresh = Arch({**picks, name: answer[:2]})
    assert changed == fresh
    assert (hash(changed), changed.key, list(changed)) == (hash(fresh), fresh.key, list(fresh))
    assert (changed == Arch(picks)) == (set(answer[:2]) == set(picks[name]))


def test_a_copy_for_another_process_carries_no_hash():
    arch = Arch({"a": "x", "b": ["y", "z"]})
    make, arguments = arch.__reduce__()
    assert make(*arguments) == copy.deepcopy(arch) == arch
    assert arguments == ({"a": ("x",), "b": ("y", "z")},)
