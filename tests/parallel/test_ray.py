"""Workers on Ray: on one it starts itself, and on a cluster of two nodes that is there already."""

import os
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

import nasforge
from nasforge.errors import RunError
from nasforge.parallel.messages import Order
from support.worker_world import found, pids, recipe_writer, wait_until

if find_spec("ray") is not None:
    from nasforge.parallel.cluster import connecting_to_ray, gpu_share

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]

RAY = ["run.backend='ray'"]
START = int(os.environ.get("NASFORGE_RAY_START", "30"))
"""Seconds in which a worker starts on this computer."""

LONGEST = 20.0 * START


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


@pytest.fixture
def cluster(monkeypatch):
    """Starts a node with one CPU on this computer, which searches find by its address; tests add others."""
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_killed_worker_and_a_killed_node_change_nothing_in_100_evaluations(world, cluster):
    second = cluster.add_node(num_cpus=1)
    options = {"evaluations": 100, "population": 10, "batch": 4}
    more = [f"searcher.{key}={value}" for key, value in options.items()]

    def kill_node() -> None:
        rows = Path("runs/two/metrics.jsonl")
        wait_until(lambda: rows.exists() and len(rows.read_text().splitlines()) >= 20, LONGEST)
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_node)
    killer.start()
    recipe = world("two", "evolution", kills=1, pause=0.1)
    with pytest.warns(UserWarning, match=r"the Ray actor is gone.*evaluated once more"):
        nasforge.run(recipe, [*RAY, *more, f"run.start_limit={START}"])
    killer.join()
    assert len(cluster.list_all_nodes()) == 1
    nasforge.run(world("alone", "evolution", workers=1), more)
    assert len(found("two")) == 100
    assert found("two") == found("alone")


def test_six_workers_share_four_gpus(world, cluster):
    cluster.add_node(num_cpus=6, num_gpus=4)
    nasforge.run(world("six", workers=6, pause=0.5), [*RAY, "searcher.evaluations=24"])
    nasforge.run(world("alone", workers=1), ["searcher.evaluations=24"])
    assert len(pids("six")) == 6, "some workers had nothing to do"
    assert found("six") == found("alone")


def test_a_cluster_without_place_is_an_error_in_time(world, cluster):
    import ray

    cluster.add_node(num_cpus=1)
    with pytest.raises(RunError, match=r"3 workers of 1 threads need 3 CPUs.*cluster has 2\. Set fewer"):
        nasforge.run(world("three", workers=3), RAY)
    busy = ray.util.placement_group([{"CPU": 1}])
    ray.get(busy.ready())
    with pytest.raises(RunError, match=r"no place for 2 workers of 1 CPU each within 2 seconds"):
        nasforge.run(world("full"), [*RAY, "run.start_limit=2"])
    ray.util.remove_placement_group(busy)
    with pytest.raises(RunError, match=r"run.device: 'cuda', but"):
        connect("cuda")
    # Without its address a cluster is left alone, even on this computer: it may be somebody's.
    ray.shutdown()
    os.environ.pop("RAY_ADDRESS")
    nasforge.run(world("own"), RAY)
    assert len(ray.nodes()) == 1


def connect(device: str) -> None:
    with connecting_to_ray(Order("json:loads", "."), 1, device, 1.0):
        pass


def test_a_cluster_that_does_not_answer_is_an_error(world, monkeypatch):
    import ray

    ray.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setenv("RAY_gcs_rpc_server_connect_timeout_s", "1")
    with pytest.raises(RunError, match=r"the Ray cluster at '127.0.0.1:9' \(RAY_ADDRESS\) cannot be used"):
        nasforge.run(world("none"), RAY)


@pytest.mark.parametrize(
    ("workers", "gpus", "share"), [(6, 4, 0.5), (4, 4, 1.0), (9, 4, 1 / 3), (1, 8, 1.0), (3, 0, 0.0)]
)
def test_gpus_are_shared_evenly(workers, gpus, share):
    assert gpu_share(workers, gpus, "auto") == pytest.approx(share)
    assert gpu_share(workers, gpus, "cpu") == 0.0
    if gpus:
        assert gpus * int(1 / share + 1e-9) >= workers
