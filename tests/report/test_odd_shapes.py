"""Folders whose files have other shapes than nasforge writes: reports leave out what they cannot use."""

import json

import pytest

from nasforge.report.write import make_report
from support.report_page import Page
from support.run_folders import write_bench, write_json, write_result, write_run

ODD = [
    1,
    "x",
    None,
    [],
    {},
    [None],
    [[1]],
    {"a": None},
    [{"name": 1}],
    [{"step": "x"}],
    float("nan"),
    10**400,
]
CONFUSION = [[10**30, 0, 1]]  # a list of names of all classes would take all memory
PICTURE = "data:image/png;base64,AA=="
FILES = {
    "search/choices.json": ["choices"],
    "derive/graphs.json": ["best", "front"],
    "test/predictions.json": ["confusion", "worst", "images"],
    "export/result.json": ["formats"],
    "environment.json": ["command", "versions", "processes", "started"],
    "search/result.json": ["architecture", "front", "searcher", "failed", "seconds", "steps"],
    "derive/result.json": ["looked_up", "over_limit", "params", "notation", "seconds"],
    "test/result.json": ["class_names", "accuracy", "params"],
}


@pytest.mark.parametrize("odd", [*ODD, CONFUSION], ids=lambda odd: repr(odd)[:20])
def test_files_of_other_shapes_do_no_harm(tmp_path, odd):
    folder = write_run(tmp_path / "x")
    for place, keys in FILES.items():
        write_json(folder / place, dict.fromkeys(keys, odd))
    rows = [
        {"step": 1, "weights": odd},
        {"step": odd, "evaluated": odd},
        {"step": 2, "evaluated": {"metrics": odd}},
    ]
    (folder / "search/trajectory.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "metrics.jsonl").write_text(
        json.dumps({"stage": "search", "step": odd, "loss": odd})
        + "\n"
        + json.dumps({"stage": "search", "step": 1, "loss": odd, "best_score": odd})
        + "\n"
    )
    assert "Summary" in Page(make_report([folder])).headings
    assert "Results" in Page(make_report([folder, write_run(tmp_path / "y")])).headings


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_entries_of_other_shapes_do_no_harm(tmp_path, odd):
    folder = write_run(tmp_path / "x")
    picks = json.loads((folder / "search/result.json").read_text())["architecture"]
    write_result(folder, "search", architecture=dict.fromkeys(picks, odd))
    write_json(
        folder / "test/predictions.json",
        {
            "confusion": [[0, 1, 2]],
            "worst": [{"image": PICTURE, "index": odd, "probability": odd, "label": odd}],
        },
    )
    assert "Results" in Page(make_report([folder, write_run(tmp_path / "y")])).headings
    bench = write_bench(tmp_path / "bench", seeds=2)
    row = json.loads((bench / "runs/random/0.json").read_text())
    for number, key in enumerate(("seed", "score", "evaluations", "seconds", "curve", "metrics")):
        write_json(bench / f"runs/random/{number}.json", {**row, "seed": number, key: odd})
    assert "Standings" in Page(make_report([bench])).headings
