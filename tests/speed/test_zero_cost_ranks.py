import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks import zero_cost  # noqa: E402


def test_proxies_are_ranked_and_nothing_is_scored_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 12), ("test", 2)):
        arrays[f"x_{part}"] = draw.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = (np.arange(count) % 2).astype(np.uint8)
    np.savez("images.npz", **arrays)
    command = (
        "zero_cost images.npz --architectures 3 --batch-size 4 --seed 0 1 --threads 1 --proxies params snip"
    )
    monkeypatch.setattr(sys, "argv", [*command.split(), "--out", "scores.jsonl"])
    zero_cost.main()
    table = capsys.readouterr().out
    rows = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert all(set(row["proxies"]) == {"params", "snip"} for row in rows)
    assert f"{len({row['arch'] for row in rows})} architectures" in table
    zero_cost.main()
    assert len(Path("scores.jsonl").read_text().splitlines()) == 6
    assert capsys.readouterr().out.splitlines()[-2:] == table.splitlines()[-2:]
