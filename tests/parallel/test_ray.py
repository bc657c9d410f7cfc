"""Workers on Ray: on one it starts itself, and on a cluster of two nodes that is there already."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import nasforge
from nasforge.errors import RunError
from support.worker_world import found, pids, recipe_writer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]

RAY = ["run.backend='ray'"]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Writes a recipe; returns its path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return recipe_writer(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _ray():
    """Lets the first search start Ray, which takes long, and the others use it."""
    yield
    import ray

    ray.shutdown()


def test_workers_on_a_ray_of_this_computer_find_the_same(world):
    nasforge.run(world("ray"), RAY)
    nasforge.run(world("alone", workers=1))
    assert os.getpid() not in pids("ray")
    assert found("ray") == found("alone")


def test_a_killed_actor_is_replaced_and_its_candidate_tried_once_more(world):
    with pytest.warns(UserWarning, match=r"the Ray actor is gone.*evaluated once more"):
        nasforge.run(world("once", kills=1), RAY)
    first = Path("notes-once/first").readlink()
    attempts = list(Path("notes-once").glob(f"{first}.*"))
    assert len(attempts) == len({note.suffix for note in attempts}) == 2
    assert [failed for *_, failed in found("once")] == [None] * 8


def test_a_candidate_that_kills_two_actors_is_recorded_as_failed(world):
    with pytest.warns(UserWarning, match="is recorded as failed"):
        nasforge.run(world("twice", kills=2), RAY)
    first = str(Path("notes-twice/first").readlink())
    failed = [row for row in found("twice") if row[2]]
    assert ["".join(option for _, (option,) in arch) for arch, _, _ in failed] == [first]
    assert len(found("twice")) == 8


def test_a_cluster_of_two_nodes_takes_a_worker_each_and_refuses_a_third(world, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        # As a user does it: a process of its own, which leaves the cluster as it was.
        command = [sys.executable, "-m", "nasforge", "run", str(world("two")), "--set", *RAY]
        subprocess.run(command, check=True, capture_output=True, text=True)
        with pytest.raises(RunError, match=r"3 workers of 1 threads need 3 CPUs.*cluster has 2\. Set fewer"):
            nasforge.run(world("three", workers=3), RAY)
        # Without its address a cluster is left alone, even on this computer: it may be somebody's.
        ray.shutdown()
        monkeypatch.delenv("RAY_ADDRESS")
        nasforge.run(world("own"), RAY)
        assert len(ray.nodes()) == 1
    finally:
        ray.shutdown()
        cluster.shutdown()
    nasforge.run(world("alone", workers=1))
    assert len(pids("two")) == 2
    assert not pids("three")
    assert found("two") == found("own") == found("alone")
