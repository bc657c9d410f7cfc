"""Measuring time: what is called, counted and restored. No test asserts a duration."""

import pytest
import torch
from torch import nn

from nasforge.cost.latency import Timing, limit_threads, measure_in_turns, measure_latency
from nasforge.errors import RunError
from nasforge.runtime import Runtime
from nasforge.space import Task

CPU = Runtime.create("cpu")


def test_a_timing_is_the_median_and_the_quartiles():
    timing = Timing.of([0.005, 0.001, 0.002, 0.004, 0.003])
    assert timing == Timing(3.0, 2.0, 4.0, 5)
    assert Timing.of([0.25]) == Timing(250.0, 250.0, 250.0, 1)
    assert timing.to_json() == {"median_ms": 3.0, "lower_ms": 2.0, "upper_ms": 4.0, "runs": 5}


def test_calls_take_turns_after_their_warm_up():
    called, told = [], []
    calls = [lambda: called.append("a"), lambda: called.append("b")]
    timings = measure_in_turns(calls, CPU, runs=3, warmup=2, report=told.append)
    assert "".join(called) == "aabb" + "ab" * 3
    assert [t.runs for t in timings] == [3, 3]
    assert told == pytest.approx([1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_a_network_is_measured_as_it_is_used(clock):
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2 * 4 * 4, 3)

        def forward(self, x):
            seen.append((tuple(x.shape), self.training, torch.is_grad_enabled(), torch.get_num_threads()))
            return self.layer(x.flatten(1))

    network, before = Watched(), torch.get_num_threads()
    timing = measure_latency(network, Task(2, 4, 3), batch=5, runs=4, warmup=1, threads=1, clock=clock)
    assert seen == [((5, 2, 4, 4), False, False, 1)] * 5
    assert network.training
    assert torch.get_num_threads() == before
    assert 0 <= timing.lower_ms <= timing.median_ms <= timing.upper_ms


def test_cpu_seconds_of_several_threads_are_no_latency():
    with limit_threads(2), pytest.raises(RunError, match=r"counts what one CPU thread takes, not 2 on cpu"):
        measure_in_turns([lambda: None], CPU, runs=1, warmup=0, clock="cpu")
