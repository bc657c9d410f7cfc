"""Tables on the command line: for readers in a terminal, for grep elsewhere."""

import sys
import warnings

import pytest

from nasforge.cli.output import one_line_warnings, print_table, show_count

ROWS = [("a [b]", "x" * 90, ""), ("longer [red]name[/]", ":smile: 5 *", " ".join(["word"] * 40))]


@pytest.fixture
def shown(capsys):
    """Prints a table; returns its lines."""

    def show(*arguments, **options):
        print_table(*arguments, **options)
        return capsys.readouterr().out.splitlines()

    return show


def test_piped_rows_stay_one_plain_line_each(shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert shown(ROWS, head=("one", "two [x]", "three")) == [
        f"one                  {'two [x]':90}  three",
        f"a [b]                {'x' * 90}",
        f"longer [red]name[/]  {':smile: 5 *':90}  {ROWS[1][2]}",
    ]


def test_a_row_with_line_breaks_is_one_line(shown):
    assert shown([("a\nb", "c\r\nd")]) == ["a b  c d"]


def test_every_line_is_indented(shown):
    assert shown([("a", "b"), ("cc", "d")], indent="  ") == ["  a   b", "  cc  d"]


def test_without_rows_there_is_the_head_or_nothing(shown):
    assert shown([], head=("a", "b")) == ["a  b"]
    assert shown([]) == []


@pytest.mark.parametrize("columns", [30, 80])
def test_in_a_terminal_cells_are_wrapped_and_nothing_is_lost(shown, monkeypatch, columns):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    lines = shown(ROWS, indent="  ")
    assert max(map(len, lines)) <= columns
    text = "".join(lines)
    assert (text.count("x"), text.count("w"), text.count("…")) == (90, 40, 0)


def test_warnings_are_paragraphs_and_lists_stay_lists(capsys):
    listed = "data.root: 2 images:\n  - 'a b'\n  - 'c'\nReplace them."
    with one_line_warnings():
        warnings.warn("two\n  lines", stacklevel=1)
        warnings.warn(listed, stacklevel=1)
    assert capsys.readouterr().err == f"warning: two lines\nwarning: {listed}\n"


def test_counts_are_shown_in_a_terminal_and_removed_at_the_end(capsys, monkeypatch):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        for count in range(1, 4):
            show_count("predicting", count, 3)
        out, err = capsys.readouterr()
        assert out == ""
        expected = "\rpredicting: 1 of 3\033[K\rpredicting: 2 of 3\033[K\r\033[K"
        assert err == (expected if terminal else "")
