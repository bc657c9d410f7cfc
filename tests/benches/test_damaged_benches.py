"""Folders of benches that were damaged or written by someone else: one worded error."""

import json

import pytest

from nasforge.benches.folder import BenchFolder
from nasforge.errors import CheckpointError

ROW = {"searcher": "random", "seed": 0, "score": 1.0, "evaluations": 3, "seconds": 0.1, "metrics": {}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[1]", "holds a JSON list instead of an object"),
        ('{"baseline": "random"}', "'searchers' is wrong"),
        ('{"baseline": "random", "searchers": {"random": 3}}', "'searchers.random' is wrong"),
    ],
)
def test_the_file_of_the_bench(tmp_path, content, told):
    (tmp_path / "bench.json").write_text(content)
    with pytest.raises(CheckpointError, match=told):
        _ = BenchFolder(tmp_path).inputs


@pytest.mark.parametrize("name", sorted(ROW))
def test_the_result_of_a_run(tmp_path, name):
    path = tmp_path / "runs/random/0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**ROW, name: [1]}))
    bench = BenchFolder(tmp_path)
    with pytest.raises(CheckpointError, match=f"'{name}' is wrong.* Delete it to make its run again"):
        bench.read_result("random", 0)
    path.write_text(json.dumps(ROW))
    (path.parent / "0 copy.json").write_text("{}")
    assert bench.read_results("random") == [ROW]
