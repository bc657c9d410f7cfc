"""A confirmation that is killed at any moment ends with the same answer as one that is not."""

import json
import sys
from pathlib import Path

import pytest

from support.killing import IMAGES, finish, kill_when, start

RECIPE = f"""{IMAGES}[space]
use = "nasbench201"
channels = 4
cells = 1
search_channels = 4
search_cells = 1
[searcher]
use = "beta-darts"
epochs = 2
[searcher.confirm]
rungs = [1, 2, 4]
neighbours = 5
finalists = 3
repeats = 2
passes = 2
[evaluator]
use = "train"
epochs = 4
epoch_batches = 3
score = "loss"
budgets = "continue"
batch_size = 12
schedule = "constant"
"""

MOMENTS = {
    "inside the first rung": ("search", 2, 0.3),
    "among the repeats": ("search", 4, 0.3),
}


def outcome(run: Path) -> dict:
    found = json.loads((run / "search" / "result.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "architecture": found["architecture"],
        "races": found["searcher"]["confirm"]["races"],
        "metrics": [{k: v for k, v in row.items() if "seconds" not in k} for row in rows],
    }


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_inside_rungs(tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    finish(start(recipe, tmp_path / "straight"))
    run = tmp_path / "killed" / "tiny"
    for moment in MOMENTS.values():
        kill_when(start(recipe, tmp_path / "killed"), run / "metrics.jsonl", *moment)
        assert not (run / "search" / "result.json").exists(), "the search was over before it was killed"
    finish(start(recipe, tmp_path / "killed"))
    assert outcome(run) == outcome(tmp_path / "straight" / "tiny")
