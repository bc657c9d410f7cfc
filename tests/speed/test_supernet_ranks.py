import json
import sys
from pathlib import Path

import nasforge

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks import supernet_ranks  # noqa: E402


def test_every_policy_is_ranked_and_nothing_is_scored_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = [
        "data.use='digits'",
        "data.image_size=8",
        "run.threads=1",
        "searcher.use='random'",
        "searcher.evaluations=1",
    ]
    nasforge.run(ROOT / "recipes" / "spos_nasbench201.toml", tiny, profile="smoke")
    monkeypatch.setattr(sys, "argv", ["supernet_ranks", "runs/spos-nasbench201", "--architectures", "4"])
    supernet_ranks.main()
    table = capsys.readouterr().out
    rows = [json.loads(line) for line in Path("supernet_ranks.jsonl").read_text().splitlines()]
    assert [row["norm"] for row in rows] == [norm for norm in supernet_ranks.NORMS for _ in range(4)]
    assert len({row["arch"] for row in rows}) == 4
    assert [row["accuracy"] for row in rows[:4]] == [row["accuracy"] for row in rows[4:8]]
    supernet_ranks.main()
    assert len(Path("supernet_ranks.jsonl").read_text().splitlines()) == len(rows)
    assert capsys.readouterr().out.splitlines()[-5:] == table.splitlines()[-5:]


def test_the_line_of_a_policy_that_ranks_backwards():
    rows = [{"score": -a, "accuracy": float(a), "seconds": 1.0} for a in range(10)]
    assert supernet_ranks.line_of("batch", rows) == "| batch | -1.000 | -1.000 | -1.000 | 0.00 | 1.00 |"
