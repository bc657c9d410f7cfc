import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks import short_trainings  # noqa: E402
from support.random_images import write_images  # noqa: E402

CELL = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"


def test_cells_are_trained_once_and_ranked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images", train=8, test=1)
    tiny = [
        "space.eval_channels=4", "space.eval_cells=1", "data.image_size=8", "data.batch_size=4",
        "evaluator.batch_size=4", "evaluator.epoch_batches=1", "evaluator.score_batches=1",
    ]  # fmt: skip
    command = ["short_trainings", "images", CELL, "--random", "2", "--budgets", "1", "2"]
    monkeypatch.setattr(sys, "argv", [*command, *(f"--set={change}" for change in tiny)])
    short_trainings.main()
    rows = [json.loads(line) for line in Path("short_trainings.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert rows[0]["cell"] == CELL
    assert all(row["scores"]["1"] != row["scores"]["2"] for row in rows)
    table = capsys.readouterr().out.split("\r")[-1]
    assert table.count("\n| `|") == 3
    assert "| Spearman, 3 cells |" in table
    short_trainings.main()
    assert len(Path("short_trainings.jsonl").read_text().splitlines()) == 3
    assert capsys.readouterr().out.split("\r")[-1] == table
