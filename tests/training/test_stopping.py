"""A run that is asked to stop, again and again, saves where it is and ends in the same bits."""

import json
import signal
from random import Random

import pytest

import nasforge
from nasforge.training import stopping
from nasforge.training.stopping import Stopped
from support.killing import IMAGES
from support.worker_world import found, recipe_writer

DARTS = """[space]
use = "darts"
channels = 4
cells = 3
search_channels = 4
search_cells = 3
eval_channels = 4
eval_cells = 3
operations = ["none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"]
"""
CELL = """[space]
use = "nasbench201"
channels = 4
cells = 1
search_channels = 4
search_cells = 1
eval_channels = 4
eval_cells = 1
"""
SEARCHES = {
    "cdarts": f"""{DARTS}[searcher]
use = "cdarts"
iterations = 3
warmup_epochs = 1
pretrain.epochs = 1
pretrain.architectures = "sampled"
twin.warmup_epochs = 2
[distiller]
use = "stages"
""",
    "cdarts as published": f"""{CELL}[searcher]
use = "cdarts"
preset = "official"
iterations = 3
warmup_epochs = 1
[distiller]
use = "stages"
""",
    "second order": f"""{CELL}[searcher]
use = "darts"
epochs = 2
order = 2
""",
    "sampled": f"""{CELL}[searcher]
use = "gdas"
epochs = 2
""",
    "stages": f"""{CELL}[searcher]
use = "drnas"
epochs = 4
warmup_epochs = 1
stages.epochs = [2, 2]
stages.keep = [3]
""",
    "removal": f"""{CELL}[searcher]
use = "darts-pt"
epochs = 1
selection.epochs = 1
""",
    "supernet": f"""{CELL}[searcher]
use = "spos"
generations = 2
parents = 2
population = 4
[evaluator]
use = "supernet"
epochs = 2
batch_size = 24
""",
    "trainings": f"""{CELL}[searcher]
use = "hyperband"
evaluations = 5
budgets = [1, 2]
[evaluator]
use = "train"
epochs = 2
batch_size = 24
budgets = "continue"
""",
    "confirmed": f"""{CELL}[searcher]
use = "darts"
epochs = 1
[searcher.confirm]
rungs = [1, 2]
neighbours = 2
[evaluator]
use = "train"
epochs = 2
batch_size = 24
""",
}
TRAIN = """[train]
use = "train"
epochs = 3
batch_size = 24
accumulate = 2
drop_path = 0.2
cutout = 4
ema.decay = 0.9
augment.erasing = 0.5
augment.mixup = 0.4
"""


class Countdown:
    """Stands for a signal that comes after so many looks at it."""

    agree = None

    def __init__(self, looks):
        self.left = looks

    @property
    def reason(self):
        self.left -= 1
        return "SIGTERM" if self.left < 0 else None


def outcome(run):
    """Return everything that must not depend on when a run was stopped."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    weights = run / "train" / "weights.safetensors"
    search = json.loads((run / "search" / "result.json").read_text())
    return {
        "weights": weights.read_bytes() if weights.exists() else None,
        "search": {k: v for k, v in search.items() if k in ("architecture", "steps", "front")},
        "metrics": [{k: v for k, v in row.items() if "seconds" not in k} for row in rows],
    }


def stopped_again_and_again(recipe, out, monkeypatch, least=2, most=5, stops_at_most=3):
    """Stop a few times, then run until the end; return how often it stopped."""
    draw, stops = Random(0), 0
    while True:
        looks = draw.randint(least, most) if stops < stops_at_most else 1_000_000
        monkeypatch.setattr(stopping, "_Request", Countdown(looks))
        try:
            nasforge.run(recipe, out=out)
        except Stopped:
            stops += 1
        else:
            return stops


@pytest.mark.slow
@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_stopped_at_any_batch_ends_in_the_same_bits(search, tmp_path, monkeypatch):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(IMAGES + SEARCHES[search])
    nasforge.run(recipe, out=tmp_path / "whole")
    stops = stopped_again_and_again(recipe, tmp_path / "stopped", monkeypatch)
    assert stops >= 2
    whole, stopped = tmp_path / "whole" / "tiny", tmp_path / "stopped" / "tiny"
    assert outcome(stopped) == outcome(whole)
    if search not in ("trainings", "confirmed", "supernet"):  # their state has seconds
        checkpoint = "search/checkpoint.safetensors"
        assert (stopped / checkpoint).read_bytes() == (whole / checkpoint).read_bytes()


@pytest.mark.parametrize(
    ("more", "shards"),
    [
        ("", 1),
        pytest.param('optimizer = "adamw"\nstop.patience = 2\n', 1, marks=pytest.mark.slow),
        pytest.param("", 2, marks=pytest.mark.slow),
    ],
)
def test_a_training_stopped_at_any_batch_ends_in_the_same_bits(more, shards, tmp_path, monkeypatch):
    images = IMAGES + ("holdout_share = 0.2\n" if "stop" in more else "")
    recipe = tmp_path / "tiny.toml"
    images = images.replace("threads = 1", f"threads = 1\nshards = {shards}")
    recipe.write_text(f'{images}{CELL}[searcher]\nuse = "fixed"\n{TRAIN}{more}')
    nasforge.run(recipe, out=tmp_path / "whole")
    stops = stopped_again_and_again(recipe, tmp_path / "stopped", monkeypatch, 3, 6)
    assert stops == 3
    assert outcome(tmp_path / "stopped" / "tiny") == outcome(tmp_path / "whole" / "tiny")


def test_a_black_box_search_stops_after_an_evaluation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write = recipe_writer(tmp_path)
    nasforge.run(write("whole", "evolution", workers=1))
    recipe = write("stopped", "evolution", workers=1)
    assert stopped_again_and_again(recipe, "runs", monkeypatch, 2, 4) == 3
    assert found("stopped") == found("whole")
    evaluated = [note.name for note in (tmp_path / "notes-stopped").glob("*.*.*")]
    assert len(evaluated) == len({name.split(".")[0] for name in evaluated}), "one was evaluated twice"


def test_no_signal_leaves_its_mark_on_the_process():
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGUSR1)}
    with stopping.stopping_on_signals():
        signal.raise_signal(signal.SIGUSR1)
        assert stopping.stop_requested() == "SIGUSR1"
        signal.raise_signal(signal.SIGTERM)
        assert stopping.stop_requested() == "SIGUSR1"
        with pytest.raises(Stopped):
            list(stopping.until_stopped([1]))
    assert stopping.stop_requested() is None
    assert {name: signal.getsignal(name) for name in before} == before
