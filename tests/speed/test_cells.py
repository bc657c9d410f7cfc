import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks import cells, paired  # noqa: E402
from benchmarks.uniform import scaled_widths  # noqa: E402
from nasforge.arch import Arch  # noqa: E402
from nasforge.cost import measure_arch  # noqa: E402
from nasforge.space import Task  # noqa: E402
from nasforge_plugins.spaces.chain.config import ChainConfig  # noqa: E402
from nasforge_plugins.spaces.chain.space import ChainSpace  # noqa: E402
from support.random_images import write_images  # noqa: E402

TINY = (
    "data.use=image-folder", "data.root=images", "data.image_size=8", "data.batch_size=4",
    "data.limit_train=16", "data.limit_test=4", "space.channels=4", "space.cells=3",
    "train.batch_size=4", "train.epochs=1", "train.epoch_batches=2",
)  # fmt: skip


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images", train=8, test=2)


def rows_of(file):
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def run(monkeypatch, capsys, *arguments):
    changes = [f"--set={change}" for change in TINY]
    monkeypatch.setattr(sys, "argv", ["cells", "cdarts_cifar10", *arguments, *changes])
    cells.main()
    return capsys.readouterr().out.split("\r")[-1]


def test_searched_and_random_cells_are_trained_once_and_alike(images, monkeypatch, capsys):
    space = cells.assemble(cells.recipe_of(_options(), 0), Path("scratch")).space
    found, derived = space.parse("CDARTS_cifar"), space.parse("DARTS_V1")
    finalists = [{"architecture": derived.to_json()}, {"architecture": found.to_json()}]
    result = {"architecture": found.to_json(), "searcher": {"confirm": {"races": [{"finalists": finalists}]}}}
    for seed in (0, 1):
        folder = Path(f"run-{seed}/search")
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result))
    given = ["a=run-0", "before=run-0:derived", "--random=2", "--within=0.5", "--seeds=2"]
    table = run(monkeypatch, capsys, *given)
    rows = rows_of("cells.jsonl")
    assert len(rows) == 2 * 4
    first = rows[0]
    assert first["arch"] == space.notation(found)
    assert rows[1]["arch"] == space.notation(derived)
    for row in rows[2:4]:
        assert 0.5 * first["params"] <= row["params"] <= 1.5 * first["params"]
    assert {row["seed"] for row in rows[:4]} == {0}
    assert all(row["seconds"] > 0 for row in rows)
    assert table.count("\n| random ") == 2
    assert "| **searched, mean of 1** |" in table
    assert "Seeds of trainings: [0, 1]" in table
    around = f"--around={first['params']}"
    assert run(monkeypatch, capsys, *given, around) == table
    again = run(monkeypatch, capsys, f"a={space.notation(found)}", *given[1:], around)
    assert "searched" not in again  # the cell is given now, and not the result of a run
    assert rows_of("cells.jsonl") == rows
    # A training that was lost comes back with the same bits, whatever else the file has.
    Path("cells.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    run(monkeypatch, capsys, *given)
    repeated = rows_of("cells.jsonl")[-1]
    assert {**repeated, "seconds": 0} == {**first, "seconds": 0}
    # The same cell in another run is the same training; --show trains nothing.
    count = len(rows_of("cells.jsonl"))
    shown = run(monkeypatch, capsys, *given, "b=run-1", "c=DARTS_V1", "d=GDAS_V1", "--show")
    assert len(rows_of("cells.jsonl")) == count
    assert "| b |" in shown
    assert "| d |" not in shown


def _options():
    return type("Options", (), {"recipe": "cdarts_cifar10", "profile": "cpu", "changes": [*TINY]})()


@pytest.mark.parametrize(
    ("text", "message"),
    [("DARTS_V2", "no name"), ("a=empty:derived", "has no 'derived'"), ("a=empty:best", "has no 'best'")],
)
def test_unreadable_architectures_are_named(images, monkeypatch, capsys, text, message):
    folder = Path("empty/search")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"architecture": {}, "searcher": {}}))
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, capsys, text, "--random=1")


def test_intervals_of_groups_are_those_of_welch():
    draw = np.random.default_rng(3)
    ours, theirs = draw.normal(1, 2, (3, 2)), draw.normal(0, 1, (8, 2))
    found = paired.group(ours.tolist(), theirs.tolist())
    expected = ttest_ind(ours.mean(1), theirs.mean(1), equal_var=False).confidence_interval(0.95)
    assert found.mean - found.half == pytest.approx(expected.low, abs=1e-9)
    assert found.mean + found.half == pytest.approx(expected.high, abs=1e-9)


def test_noise_is_what_seeds_and_architectures_leave():
    draw = np.random.default_rng(4)
    effects = 50 + 3 * draw.normal(size=(200, 1)) + 5 * draw.normal(size=(1, 20))
    assert paired.noise_of(effects.tolist()) == pytest.approx(0, abs=1e-9)
    noisy = effects + 0.7 * draw.normal(size=(200, 20))
    assert paired.noise_of(noisy.tolist()) == pytest.approx(0.7, rel=0.05)
    assert paired.noise_of([[1.0], [2.0]]) is None


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_of_one_more_random_cell_hold_zero_as_often_as_stated(seeds):
    draw = np.random.default_rng(5)
    inside = []
    for _ in range(400):
        scores = (50 + 0.5 * draw.normal(size=(9, seeds)) + draw.normal(size=(1, seeds))).tolist()
        noise = paired.noise_of(scores)
        difference = paired.single(scores[0], scores[1:], noise)
        inside.append(abs(difference.mean) <= difference.half)
    assert 0.92 <= np.mean(inside) <= 0.995


def test_uniform_scaling_meets_the_cost():
    space = ChainSpace(ChainConfig(layout="cifar", depths=(1, 2, 2, 2, 1), widths=(8, 16, 24, 32, 48)))
    arch = Arch({choice.name: "k3e4" for choice in space.choices})
    task, target = Task(3, 16, 10), 3e6
    changes = scaled_widths(space, task, arch, "macs", target)
    options = {
        name.removeprefix("space."): json.loads(value)
        for name, value in (change.split("=") for change in changes)
    }
    assert set(options) == {"widths", "stem_channels", "head_channels", "classifier_channels"}
    assert measure_arch(space.with_options(**options), task, arch).macs == pytest.approx(target, rel=0.03)
