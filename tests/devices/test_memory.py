"""The memory that a step is predicted to need, against what the allocator of the CPU gives to a real one."""

import sys
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no part of the installed package

from benchmarks.rows import ROWS, Size
from benchmarks.steps import Setting
from nasforge.cost.live import LiveStorages
from nasforge.runtime import Runtime
from nasforge.runtime.meta import META, as_gpu, reading_zeros

NAMED = {row.name: row for row in ROWS}
TOLERANCE = 0.1
"""What the CPU's convolutions need besides their results."""


def build(name, size, device):
    # Plain modules: the kernels in C keep other tensors, and no GPU has them.
    runtime = Runtime(device, channels_last=False)
    return NAMED[name].build(Setting(runtime, True, size.batch, size.image_size), size)


def allocated(step):
    """The most bytes above the first moment, by the events of the allocator."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def predicted(name, size):
    with as_gpu(), LiveStorages(device=META) as live, reading_zeros():
        step = build(name, size, META).step
        step()
        live.restart()
        before = live.now
        step()
        return live.peak - before


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("nasbench201-darts", Size(16, channels=8, cells=1, image_size=16)),
        ("nasbench201", Size(16, channels=8, cells=1, eval_cells=1, image_size=16)),
        ("train", Size(16, channels=4, cells=3, steps=1)),
    ],
)
def test_a_step_allocates_what_was_predicted(name, size):
    step = build(name, size, torch.device("cpu")).step
    step()  # momentum
    assert predicted(name, size) == pytest.approx(allocated(step), rel=TOLERANCE)


def test_saved_tensors_are_counted_once_and_weights_not_at_all():
    weight = torch.zeros(8, 8, device=META, requires_grad=True)
    with LiveStorages(device=META) as live:
        live.restart()
        with torch.autograd.graph.saved_tensors_hooks(live.keep, live.give):
            x = torch.zeros(4, 8, device=META)
            ((x @ weight).relu() @ weight).relu().sum().backward()
    # The input, and the two results of relu; 4 bytes a number.
    assert live.saved == 3 * 4 * 8 * 4
    assert live.peak > live.saved


def test_storages_that_take_the_address_of_an_earlier_one_are_counted():
    def addresses(tensors):
        return [tensor.untyped_storage()._cdata for tensor in tensors]

    with LiveStorages(device=META) as live:
        earlier = [torch.empty(64, device=META) for _ in range(50)]
        taken = addresses(earlier)
        live.restart()
        del earlier
        later = [torch.empty(64, device=META) for _ in range(300)]
        assert {*taken} & {*addresses(later)}, "the allocator took no address again"
        for tensor in later:
            live.keep(tensor)
    assert live.saved == 300 * 64 * 4


def test_generators_and_values_of_the_stand_in():
    with as_gpu(), reading_zeros():
        generator = torch.Generator(META).manual_seed(1)
        drawn = torch.rand(3, device=META, generator=generator)
        assert drawn.cpu().tolist() == drawn.tolist() == [0.0] * 3
        assert float(drawn.sum()) == 0.0
    with pytest.raises((NotImplementedError, RuntimeError)):
        drawn.cpu()
