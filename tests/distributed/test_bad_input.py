"""Processes that cannot share a run say so at the start, in words, once."""

from __future__ import annotations

import os

import pytest
import torch

import nasforge
from nasforge.errors import RecipeError, RunError
from nasforge.parallel import start
from nasforge.parallel.start import check_processes
from nasforge.plugins import Registry
from nasforge.recipe import RunConfig, check
from nasforge.runtime.distributed import find_world, place_device
from support.photos import write_photos
from support.ranks import start_ranks
from support.sharded import sharded


def said_once(ranks):
    """Return what the user is told, by one process, when all of them fail."""
    assert ranks.wait() == [1] * len(ranks.pids), ranks.words()
    (message,) = filter(None, ranks.words())
    return message


def test_processes_that_do_not_divide_the_shards(tmp_path):
    message = said_once(start_ranks(sharded("gdas"), tmp_path, 3))
    assert message == (
        "run.shards: 4 shards cannot be shared equally by 3 processes. Start 1, 2 or 4, or set run.shards to "
        "a multiple of 3; that changes the result."
    )
    assert not (tmp_path / "out").exists(), "nothing has been written"


def test_other_recipes(tmp_path):
    def other(rank):
        return sharded("gdas", seed=7) if rank else None

    message = said_once(start_ranks(sharded("gdas"), tmp_path, 2, other))
    assert "different recipes" in message
    assert "run.seed: 0 in process 0, 7 in process 1" in message


def test_other_versions(tmp_path):
    def older(rank):
        if rank:
            nasforge.__version__ = "0.0.1"

    message = said_once(start_ranks(sharded("gdas"), tmp_path, 2, older))
    assert f"nasforge is {nasforge.__version__} in process 0 and 0.0.1 in process 1" in message


def test_a_process_without_the_data(tmp_path):
    write_photos(tmp_path / "here" / "photos")
    (tmp_path / "there").mkdir()
    recipe = sharded("gdas")
    recipe["data"] = {"use": "image-folder", "root": "photos", "image_size": 16, "batch_size": 8}

    def enter(rank):
        os.chdir(tmp_path / ("there" if rank else "here"))

    message = said_once(start_ranks(recipe, tmp_path, 2, enter))
    assert message.startswith("process 1 on ")
    assert "data.root: there is no folder 'photos'" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_cuda(tmp_path):
    message = said_once(start_ranks(sharded("gdas", device="cuda"), tmp_path, 2))
    assert message.startswith("run.device: 'cuda' cannot be used")


def test_workers_and_processes(tmp_path):
    message = said_once(start_ranks(sharded("train", workers=2), tmp_path, 2))
    assert "run.workers: 2 workers (processes) evaluate candidates" in message


@pytest.mark.parametrize("devices", ["cuda:0,cuda:1", ["cuda:0", "cuda:1"]])
def test_a_list_of_devices(devices):
    with pytest.raises(RecipeError, match=r"run.device: must be one device: for several GPUs write 'cuda'"):
        check(sharded("gdas", device=devices), Registry.discover())


def test_processes_are_counted_before_they_start():
    with pytest.raises(RunError, match=r"8 shards cannot be shared equally by 3.*Start 1, 2, 4 or 8, or set"):
        check_processes(RunConfig(shards=8), 3)
    with pytest.raises(RunError, match=r"2 processes cannot share batches of one shard, the default"):
        check_processes(RunConfig(), 2)
    check_processes(RunConfig(shards=8), 4)
    check_processes(RunConfig(), 1)


def test_a_ray_cluster_that_does_not_answer_is_found_without_ray(monkeypatch):
    monkeypatch.setattr(start, "find_spec", lambda name: True)
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:9")
    with pytest.raises(RunError, match=r"cluster at 'ray://127.0.0.1:9' \(RAY_ADDRESS\) cannot be used"):
        start.check_start(RunConfig(backend="ray", workers=2))


def test_one_gpu_for_several_processes():
    with pytest.raises(RunError, match=r"'cuda:1' names one GPU for 4 processes. Write 'cuda'"):
        place_device("cuda:1", 4)


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert place_device("auto", 4) == "cuda:1"
    assert place_device("cpu", 4) == "cpu"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(RunError, match=r"process 2 of this computer has no GPU of its own: there are 2"):
        place_device("cuda", 4)


def test_a_single_process_is_no_group(monkeypatch):
    for name, value in {"RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert find_world() is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert find_world() == (0, 2)
