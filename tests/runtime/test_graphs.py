"""Captured steps: static inputs, other shapes, failures, and what a run says about them."""

import json

import pytest
import torch

from nasforge.recipe import RunConfig
from nasforge.runs.environment import note_environment, note_graphs
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.runtime.graphs import WARMUPS, Graphs
from support.pretend_graph import PretendGraphs


class Trained:
    """Counts how a step is called."""

    def __init__(self):
        self.seen, self.total = [], torch.zeros(())

    def step(self, images, labels, more=None):
        self.seen.append(images.data_ptr())
        self.total += images.sum()
        return {"total": self.total.clone(), "labels": labels.sum()}


def batch(number, size=4):
    return torch.full((size, 3), float(number)), torch.full((size,), number)


def test_inputs_keep_their_place_and_outputs_are_copies():
    trained, graphs = Trained(), Graphs(True, PretendGraphs())
    step = graphs.steady(trained.step)
    found = [step(*batch(n), (torch.zeros(2), "constant")) for n in range(WARMUPS + 3)]
    assert [float(values["total"]) for values in found] == [
        12.0 * n * (n + 1) / 2 for n in range(WARMUPS + 3)
    ]
    assert [int(values["labels"]) for values in found] == [4 * n for n in range(WARMUPS + 3)]
    assert len(set(trained.seen[WARMUPS:])) == 1
    assert graphs.steady(trained.step) is step, "a step has one capture"
    graphs.forget()
    assert graphs.steady(trained.step) is not step


def test_batches_of_another_shape_run_eagerly():
    trained, maker = Trained(), PretendGraphs()
    step = Graphs(True, maker).steady(trained.step)
    for n in range(WARMUPS + 1):
        step(*batch(n))
    assert float(step(*batch(1, size=2))["total"]) == 12.0 * 6 + 6.0
    assert maker.replays == 1
    step(*batch(1))
    assert maker.replays == 2


def test_refresh_comes_before_every_step():
    calls = []
    step = Graphs(True, PretendGraphs()).steady(Trained().step, lambda: calls.append(None))
    for n in range(WARMUPS + 2):
        step(*batch(n))
    assert len(calls) == WARMUPS + 2


def test_a_step_that_cannot_be_captured_goes_on_as_it_is():
    class Refusing(PretendGraphs):
        def capture(self, step):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    trained, graphs = Trained(), Graphs(True, Refusing())
    step = graphs.steady(trained.step)
    for n in range(WARMUPS):
        step(*batch(n))
    with pytest.warns(UserWarning, match=r"run\.graphs: a step cannot be captured"):
        step(*batch(3))
    assert float(step(*batch(4))["total"]) == 12.0 * 10
    assert graphs.describe()["eager"] == {
        "step": "capturing failed: operation not permitted when stream is capturing"
    }


def test_a_cpu_has_none():
    runtime = Runtime.of(RunConfig(device="cpu", graphs=True))
    assert not runtime.graphs.active
    step = Trained().step
    assert runtime.steady(step) == step
    assert runtime.graphs.describe() == {
        "wanted": True,
        "captured": [],
        "reason": "there are none on 'cpu'",
        "eager": {},
    }
    assert Runtime.of(RunConfig(device="cpu")).graphs.describe()["reason"] == "not asked for"


def test_the_environment_says_what_became_of_them(tmp_path):
    folder = RunFolder(tmp_path)
    for threads in (1, 1):
        note_environment(folder, {"threads": threads, "graphs": {"captured": []}})
    note_graphs(folder, {"captured": ["step_arch"]})
    found = json.loads((tmp_path / "environment.json").read_text())
    assert found["graphs"] == found["processes"][1]["graphs"] == {"captured": ["step_arch"]}
    assert found["processes"][0]["graphs"] == {"captured": []}
