"""A run that is killed at any moment ends in the same bits as one that is not."""

import json
import sys
from pathlib import Path

import pytest

from support.killing import IMAGES, finish, kill_when, start

RECIPE = f"""{IMAGES}[space]
use = "darts"
channels = 4
cells = 3
search_channels = 4
search_cells = 3
eval_channels = 4
eval_cells = 3
operations = ["none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"]
[searcher]
use = "cdarts"
iterations = 3
warmup_epochs = 1
[searcher.twin]
warmup_epochs = 1
[distiller]
use = "stages"
[train]
use = "train"
epochs = 4
batch_size = 24
drop_path = 0.2
cutout = 4
auxiliary_weight = 0.4
"""

MOMENTS = {
    "after the first search step": ("search", 1, 0.0),
    "inside the second search step": ("search", 1, 0.4),
    "after the last search step": ("search", 3, 0.0),
    "after the first training epoch": ("train", 1, 0.0),
    "inside a training epoch": ("train", 2, 0.05),
    "after the last training epoch": ("train", 4, 0.0),
}


def outcome(run: Path) -> dict:
    """Return everything that must not depend on when a run was killed."""
    test = json.loads((run / "test" / "result.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "weights": (run / "train" / "weights.safetensors").read_bytes(),
        "search": (run / "search" / "checkpoint.safetensors").read_bytes(),
        "test": {k: v for k, v in test.items() if not k.startswith("seconds")},
        "metrics": [{k: v for k, v in row.items() if "seconds" not in k} for row in rows],
    }


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_again_and_again(tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    finish(start(recipe, tmp_path / "undisturbed"))
    expected = outcome(tmp_path / "undisturbed" / "tiny")
    run = tmp_path / "tiny"
    for moment in MOMENTS.values():
        kill_when(start(recipe, tmp_path), run / "metrics.jsonl", *moment)
        if moment[0] == "search":
            assert not (run / "train" / "weights.safetensors").exists(), "the kill came too late"
    output = finish(start(recipe, tmp_path))
    assert outcome(run) == expected
    assert "This run is finished" not in output
    assert "This run is finished" in finish(start(recipe, tmp_path))
    assert outcome(run) == expected
