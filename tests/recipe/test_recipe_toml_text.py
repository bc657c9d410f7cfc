import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasforge.recipe.toml_text import key_lines, to_toml

SAMPLE = '''\
# a comment = no key
title = "x" # = y
"quoted key".'literal.key' = 1

[a]
list = [
  1, # [not.a.table]
  "]",
]
text = """
b = 3
[c]
"""
raw = \'\'\'
d = 4
\'\'\'
inline = { x = 1, y = { z = [2, 3] } }

[ a . "b c" ]
e.f = true
  indented = 2024-01-01T00:00:00Z
[[many]]
x = 1
[[many]]
x = 2
'''


def test_keys_are_found_on_their_lines():
    assert tomllib.loads(SAMPLE)
    lines = key_lines(SAMPLE)
    expected = {
        ("title",): 2,
        ("quoted key", "literal.key"): 3,
        ("a",): 5,
        ("a", "list"): 6,
        ("a", "text"): 10,
        ("a", "raw"): 14,
        ("a", "inline", "y", "z"): 17,
        ("a", "b c"): 19,
        ("a", "b c", "e", "f"): 20,
        ("a", "b c", "indented"): 21,
        ("many",): 22,
        ("many", "x"): 23,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert not {("b",), ("c",), ("d",), ("a", "b"), ("not", "a", "table")} & set(lines)


def test_windows_line_ends_and_no_end_at_all():
    assert key_lines("[a]\r\nb = 1\r\nc = 2") == {("a",): 1, ("a", "b"): 2, ("a", "c"): 3}


@pytest.mark.parametrize(
    "text", ["", "[", "a", "a =", "a = [", 'a = "', "= 3", "\x00", "a = {b", "[[", "]", "a = ]\nb = 1"]
)
def test_what_is_no_toml_ends_too(text):
    key_lines(text)


values = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_values_are_written_as_tomllib_reads_them(value):
    text = to_toml(value)
    assert repr(tomllib.loads(f"value = {text}")["value"]) == repr(value)
    assert "\n" not in text


@given(st.dictionaries(st.text(min_size=1), values, max_size=5))
def test_every_key_of_any_document_has_its_line(table):
    lines = [f"{to_toml({key: value})[1:-1]}" for key, value in table.items()]
    found = key_lines("\n".join(lines))
    assert [found[(key,)] for key in table if (key,) in found] == [
        n for n, key in enumerate(table, 1) if (key,) in found
    ]
    plain = [key for key in table if key.isascii() and key.isprintable() and not set(key) & {'"', "\\"}]
    assert all((key,) in found for key in plain)
