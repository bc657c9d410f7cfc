"""What makes a result doubtful is said in words."""

import json
import math

import pytest

from nasforge.report.findings import decision, find, missed_limits
from nasforge.report.reading import read_folder
from support.run_folders import write_lines, write_run


def found(folder):
    return {finding.title: finding for finding in find(read_folder(folder))}


def test_a_sound_run_has_nothing_to_say(tmp_path):
    assert found(write_run(tmp_path / "x")) == {}


def test_a_missed_limit():
    results = {"derive": {"over_limit": {"latency_ms": 1.5, "params": 500.0}}}
    found = missed_limits(results, {"max_latency_ms": 6.0, "max_params": 1000})
    assert [finding.misses_limit for finding in found] == [True, True]
    assert found[0].text == (
        "latency, ms: 7.5, and constraints.max_latency_ms = 6; over the limit by 1.5 ms (25 %)."
    )
    assert found[1].text.startswith(
        "parameters: 1,500, and constraints.max_params = 1,000; over the limit by 500 parameters"
    )


@pytest.mark.parametrize(
    ("last", "undecided"), [([0.26, 0.25, 0.25, 0.24], True), ([0.7, 0.1, 0.1, 0.1], False)]
)
def test_an_undecided_search(tmp_path, last, undecided):
    folder = write_run(tmp_path / "x")
    rows = [{"step": 1, "weights": {"a": last, "b": last}}, {"step": 2, "seconds": 1.0}]
    write_lines(folder / "search/trajectory.jsonl", rows)
    titles = found(folder)
    assert ("undecided search" in titles) == undecided
    if undecided:
        assert "weighs 0.260, 0.250 would be uniform" in titles["undecided search"].text


def test_a_search_under_way_is_not_called_undecided(tmp_path):
    folder = write_run(tmp_path / "x")
    write_lines(folder / "search/trajectory.jsonl", [{"step": 1, "weights": {"a": [0.25] * 4}}])
    (folder / "search/result.json").unlink()
    assert set(found(folder)) == {"unfinished"}


def test_failures_and_damage(tmp_path):
    folder = write_run(tmp_path / "x")
    path = folder / "search/result.json"
    failed = [{"reason": "out of memory."}, {"reason": "other"}]
    path.write_text(json.dumps({**json.loads(path.read_text()), "failed": failed}))
    (folder / "metrics.jsonl").write_text("{\n")
    titles = found(folder)
    assert titles["failures"].text == "2 candidates could not be evaluated. The first one: out of memory."
    assert titles["damaged file"].text == "metrics.jsonl: line 1 cannot be read. The other rows are shown."


def test_warnings_come_first(tmp_path):
    folder = write_run(tmp_path / "x")
    (folder / "test/result.json").unlink()
    path = folder / "derive/result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "over_limit": {"macs": 1.0}}))
    assert [finding.kind for finding in find(read_folder(folder))] == ["warning", "note"]


def test_decision_by_hand():
    measured = decision({"a": [0.5, 0.5], "b": [1.0, 0.0, 0.0, 0.0], "c": [1.0]})
    assert measured.entropy == pytest.approx(0.5)
    assert measured.confidence == pytest.approx(0.75)
    assert measured.uniform == pytest.approx((1 / 2 + 1 / 4) / 2)
    # Weights that do not add up to 1, as those of a sigmoid, count as shares.
    half = decision({"a": [0.2, 0.6]})
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert half.entropy == pytest.approx(expected)
    assert decision({"a": [1.0], "b": [0.0, 0.0]}) is None
