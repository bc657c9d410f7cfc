"""Tables of searchers: numbers, Markdown, CSV."""

import csv
import io
import math

import pytest

from nasforge.benches.standings import (
    Group,
    cells,
    describe_stalled,
    head,
    standings,
    to_csv,
    to_markdown,
)

RANDOM = Group("random", {0: 1.0, 1: 3.0}, {0: 5, 1: 7}, {0: 10.0, 1: 20.0})
OTHER = Group("other", {1: 5.0, 0: 2.0}, {}, {})


def test_every_number_of_a_line():
    base, other = standings([RANDOM, OTHER, Group("none", {}, {}, {})], "random")
    assert (base.runs, base.mean, base.std, base.best) == (2, 2.0, math.sqrt(2), 3.0)
    assert (base.difference, base.evaluations, base.seconds) == (None, 6, 15)
    assert (other.mean, other.difference.mean, other.difference.better) == (3.5, 1.5, 2)
    assert (other.evaluations, other.seconds) == (None, None)


def test_a_star_marks_what_is_apart_from_zero():
    far = Group("far", {0: 100.0, 1: 102.1}, {}, {})
    texts = {line.name: cells(line) for line in standings([RANDOM, OTHER, far], "random")}
    assert texts["random"][2:] == ("2.000 ± 1.414", "-", "-", "3.000 (of 2)", "6.0", "15")
    assert texts["far"][3].endswith(" *")
    assert not texts["other"][3].endswith(" *")
    assert texts["other"][3].startswith("+1.500 [-")


def test_runs_that_ended_early_are_counted_by_searcher():
    early, whole = {"stopped": "nothing new"}, {"stopped": "budget"}
    assert describe_stalled({"random": [whole, {}], "none": []}) == ""
    told = describe_stalled({"random": [whole], "evolution": [early, whole, early], "grid": [early]})
    assert told.endswith("because they proposed nothing new: evolution 2 of 3, grid 1 of 1.")


def test_one_run_has_no_deviation():
    line = standings([Group("a", {0: 1e9}, {}, {})], "a")[0]
    assert cells(line)[2] == "1e+09"
    assert line.std is None


def test_markdown_has_a_column_for_every_cell():
    lines = to_markdown(standings([RANDOM, OTHER], "random"), "random").splitlines()
    assert len(lines) == 4
    assert {line.count(" | ") for line in lines} == {len(head("random")) - 1}


def test_csv_keeps_every_digit():
    rows = [{"a": 0.1 + 0.2, "b": {"c": 1, "d": None}}, {"a": 2, "b": None}]
    first, second = csv.DictReader(io.StringIO(to_csv(rows)))
    assert float(first["a"]) == 0.1 + 0.2
    assert (first["b_c"], first["b_d"]) == ("1", "")
    assert second["b"] == ""


@pytest.mark.parametrize("baseline", ["random", "absent"])
def test_without_the_baseline_there_is_nothing_to_compare_with(baseline):
    found = {line.name: line for line in standings([RANDOM, OTHER], baseline)}
    assert (found["other"].difference is None) == (baseline == "absent")
