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
