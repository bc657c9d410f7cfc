"""Freed memory stays in the process: measured by the page faults of allocating the same tensor again."""

import resource
import sys

import pytest
import torch

from nasforge.runtime import Runtime
from nasforge.runtime.allocator import keep_freed_memory

glibc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator only")


def _count_faults():
    """Return how often the kernel provided a page for a tensor of 64 MiB (16,384 pages, or 32 huge ones)."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_a_runtime_on_a_cpu_keeps_freed_memory(monkeypatch):
    monkeypatch.setattr(
        "nasforge.runtime.device.keep_freed_memory", lambda: made.append(keep_freed_memory({}))
    )
    made = []
    Runtime.create("cpu")
    if made == [False]:
        pytest.skip("the C library is not glibc")
    assert made == [True]
    # In a heap with gaps, some allocations pass before one lies in memory that was used before.
    assert min(_count_faults() for _ in range(8)) < 16


@pytest.mark.parametrize(
    "environment", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"}]
)
def test_variables_of_the_user_stay_in_charge(environment):
    assert not keep_freed_memory(environment)


@pytest.mark.parametrize("answer", [None, ValueError("unrecognized configuration name")])
def test_another_c_library_is_left_alone(monkeypatch, answer):
    def confstr(name):
        if answer:
            raise answer

    monkeypatch.setattr("os.confstr", confstr, raising=False)
    assert not keep_freed_memory({})
