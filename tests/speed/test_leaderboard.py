import itertools
import json
import sys
from pathlib import Path
from statistics import fmean

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks import leaderboard  # noqa: E402


def write(bench, label, seed, **metrics):
    (bench / "runs" / label).mkdir(parents=True, exist_ok=True)
    run = {"searcher": label, "seed": seed, "metrics": metrics, "seconds": 40.0 + seed}
    (bench / "runs" / label / f"{seed}.json").write_text(json.dumps(run))


def test_the_probability_is_that_of_all_draws():
    values = [1.0, 2.0, 2.5, 7.0]
    every = [fmean(pair) for pair in itertools.product(values, repeat=2)]
    means = leaderboard.means_of_draws(values, 2, 40_000)
    for mean in (1.0, 2.25, 4.75, 7.0):
        exact = sum(one >= mean for one in every) / len(every)
        assert leaderboard.probability(mean, means) == pytest.approx(exact, abs=0.01)
    assert 0 < leaderboard.probability(7.5, means) < 1e-4


def test_probabilities_are_corrected_in_their_order():
    # Holm: .01 x 3, .02 x 2, .04 x 1, and no later one is smaller than one before it.
    assert leaderboard.correct([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert leaderboard.correct([0.6, 0.5]) == [1.0, 1.0]


def test_rows_of_several_benches_are_one_table(tmp_path, monkeypatch, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    write(first, "good", 3, a=91.0, b=5.0)
    write(second, "good", 4, a=92.0, b=6.0)
    write(second, "bad", 3, a=60.0, b=1.0)
    runs = leaderboard.runs_of([first, second])
    everything = [{"a": float(i), "b": 0.0} for i in range(100)]
    head, _, good, bad, exact = leaderboard.table_of(runs, everything, ["a", "b"], 10_000).splitlines()
    assert head.split(" | ")[1:4] == ["runs", "a", "b"]
    assert good.startswith("| good | 2 | 91.50 ± 0.71 | 5.50 ± 0.71 | 91.00 | ")
    assert good.endswith(" | 44 ± 1 |")
    assert bad.startswith("| bad | 1 | 60.00 | 1.00 | 60.00 | ")
    assert exact.startswith("| one random draw, exact | 100 | 49.50 ± 28.87 | 0.00 ± 0.00 | 0.00 |")
    probabilities = [float(row.split(" | ")[-2]) for row in (good, bad)]
    assert probabilities == pytest.approx([2 * 0.0163, 0.4], abs=0.02)
    *_, good, bad, _ = leaderboard.table_of(runs, everything, ["a"], 10_000, ["bad"]).splitlines()
    assert float(good.split(" | ")[-2]) == pytest.approx(0.0163, abs=0.01)
    assert bad.endswith(" |  | 43 |")
    write(second, "good", 3, a=1.0)
    with pytest.raises(SystemExit, match="another folder has a run of this label and seed"):
        leaderboard.runs_of([first, second])


def test_cells_are_looked_up_in_the_space_of_the_bench(tmp_path, monkeypatch, capsys):
    bench = tmp_path / "bench"
    metrics = dict.fromkeys(leaderboard.METRICS, 91.5)
    write(bench, "darts", 0, **metrics)
    (bench / "recipe.toml").write_text(
        '[space]\nuse = "nasbench201"\n[data]\nuse = "digits"\n[searcher]\nuse = "fixed"\n'
    )
    monkeypatch.setattr(sys, "argv", ["leaderboard", str(bench), "--draws", "1000"])
    leaderboard.main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(
        "| one random draw, exact | 15625 | 83.69 ± 12.80 | 61.30 ± 12.14 | 33.81 ± 9.24 |"
    )
    monkeypatch.setattr(sys, "argv", ["leaderboard", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds no finished run of a bench"):
        leaderboard.main()
