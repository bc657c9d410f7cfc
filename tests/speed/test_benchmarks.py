import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks.report import fitted_exponent, report  # noqa: E402
from benchmarks.rows import ROWS, SIDES, TINY  # noqa: E402
from benchmarks.run import main  # noqa: E402


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_both_sides_of_a_row_do_the_same_work(row):
    losses, works = {}, {}
    for side in SIDES:
        works[side] = row.make(side, "cpu", TINY[row.name])
        losses[side] = works[side].step()
    torch.testing.assert_close(losses["nasforge"], losses["reference"], rtol=1e-4, atol=1e-5)
    works["nasforge"].step()  # and it can be done again


def test_the_first_rows_are_what_scaling_measures():
    assert ROWS[0].name == "cdarts-16"
    assert set(TINY) == {row.name for row in ROWS}


def test_the_command_measures_rows_keeps_earlier_ones_and_writes_the_table(tmp_path, capsys):
    found, table = tmp_path / "results.json", tmp_path / "table.md"
    tiny = ["--tiny", "--pairs", "1", "--threads", "1", "--device", "cpu", "--no-memory"]
    main([*tiny, "--rows", "images", "--out", str(found)])
    main([*tiny, "--rows", "nasbench201", "--out", str(found), "--out", str(table)])
    results = json.loads(found.read_text())
    assert set(results) == {"images", "nasbench201"}
    row = results["nasbench201"]
    assert row["threads"] == 1
    for side in SIDES:
        assert len(row["time"][side]["seconds"]) == 1
        assert row["operators"][side] > 1000
        assert row["arithmetic"][side]["gflop"] > 0
    assert row["operators"]["nasforge"] < row["operators"]["reference"]
    assert "CDARTS step, nasbench201" in table.read_text()
    capsys.readouterr()
    main(["--show", str(found)])
    assert "images per processor second" in capsys.readouterr().out


def test_memory_too_small_to_see_has_no_ratio():
    path = ROOT / "benchmarks" / "results" / "2026-11-24-xeon-avx512.json"
    result = json.loads(path.read_text())["darts"]
    assert "(aim 0.50)" in report({"row": {**result, "targets": {"memory": 0.5}}})
    nothing = {**result, "targets": {"memory": 0.5}, "memory": {"reference": 0.0, "nasforge": 0.0}}
    assert "(aim 0.50)" not in report({"row": nothing})


def test_the_exponent_of_a_power_is_found():
    assert fitted_exponent({"8": 2.0, "16": 8.0, "32": 32.0}) == pytest.approx(2.0)


def test_the_committed_results_give_the_table():
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        results = json.loads(path.read_text())
        assert report(results).startswith("| row |")
        assert all({"date", "hardware", "threads"} <= set(result) for result in results.values())
