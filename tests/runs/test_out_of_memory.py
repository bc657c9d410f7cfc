"""Missing memory: the message has batch sizes that fit."""

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

import nasforge
from nasforge.cost.memory import MIB, training_memory
from nasforge.errors import DataError, RunError, is_out_of_memory
from nasforge.images import InMemoryImages
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs import out_of_memory
from nasforge.runs.inputs import read_images
from nasforge.runtime import Runtime
from nasforge.space import Task
from support.tiny_recipe import tiny

RECIPE = tiny(
    space={"use": "nasbench201", "channels": 4, "cells": 1}, searcher={"use": "fixed", "arch": "resnet"}
)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_step_is_counted_by_hand(device):
    with torch.device(device):
        network = nn.Sequential(nn.Flatten(), nn.Linear(8, 3, bias=False))
    # Weights, momentum and gradients; the images, the logits, their sum and its gradient, expanded as a view.
    numbers = 3 * 8 * 3 + 5 * 8 + 5 * 3
    found = training_memory(network, Task(2, 2, 3), 5) * MIB / 4
    assert numbers <= found <= numbers + 4
    assert network[1].weight.grad is None


def test_memory_grows_with_the_batch():
    space = nasforge.create_network("nasbench201", arch="resnet", features=True).to("meta")
    few, more, most = (training_memory(space, Task(3, 32, 10), images) for images in (2, 4, 8))
    assert most - more == pytest.approx(2 * (more - few), rel=0.2)


def fail(*args, **kwargs):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")


@pytest.mark.parametrize(("free", "size"), [(1e6, 12), (None, None), (0.0, None)])
def test_the_message_has_sizes_that_fit(tmp_path, monkeypatch, free, size):
    monkeypatch.setattr(out_of_memory, "free_memory", lambda device: free)
    monkeypatch.setattr("nasforge.training.epochs.train_epoch", fail)
    with pytest.raises(
        RunError, match=r"^train: out of memory \(DefaultCPU.* GiB for 24, .* GiB for 12"
    ) as told:
        nasforge.run(RECIPE, out=tmp_path)
    found = re.search(r"--set train\.batch_size=(\d+)", str(told.value))
    assert (found and int(found[1])) == size


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_mean_memory(error, verdict):
    assert is_out_of_memory(error) is verdict


def test_images_that_do_not_fit(monkeypatch):
    def fill(self, ctx):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(InMemoryImages, "setup", fill)
    recipe = check(tiny(), Registry.discover())
    with pytest.raises(DataError, match=r"data: out of memory: the images do not fit\. Use fewer"):
        read_images(recipe, None, Runtime.create("cpu"))


LIMITED = """
import resource, sys, torch
from nasforge.cli import run_command
import nasforge.api
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (900 << 20),) * 2)
sys.exit(run_command(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_a_training_that_is_too_large_for_the_process(tmp_path):
    options = ("train.batch_size=4096", "data.batch_size=4096", "data.train_images=4096", "space.channels=16")
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[run]\nthreads = 1\n[data]\nuse = "synthetic"\nimage_size = 32\nnum_classes = 3\ntest_images = 12\n'
        '[space]\nuse = "nasbench201"\ncells = 1\n[searcher]\nuse = "fixed"\narch = "resnet"\n'
        '[train]\nuse = "train"\nepochs = 1\n'
    )
    sets = [word for option in options for word in ("--set", option)]
    command = [sys.executable, "-c", LIMITED, "run", str(recipe), *sets, "--out", str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert "unexpected" not in ended.stderr
    assert re.search(r"train: out of memory.*GiB for 4096, .* GiB are free.", ended.stderr), ended.stderr
