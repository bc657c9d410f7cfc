"""Workers of a crew that do not start, are asked to stop, or are replaced by others."""

import time

import pytest

from nasforge.errors import RunError
from nasforge.parallel.host import Host
from nasforge.parallel.messages import Order
from support.played_workers import make, tasks


@pytest.fixture
def wires():
    return []


def test_a_stop_waits_for_tasks_under_way_and_starts_no_other(wires):
    crew = make(wires, 3, attempts=2)
    a, b, c, d = tasks(crew, "a", "b", "c", "d")
    for wire in wires[:2]:
        wire.receive({"ready": True})
        crew.wait()
    wires[0].receive({"result": 1})
    wires[1].receive({"stopped": "SIGTERM"})
    crew.stop("SIGTERM")
    assert [wire.sent[1:] for wire in wires] == [[{"stop": "SIGTERM"}]] * 2 + [[]]
    assert [task.outcome for task in (a, b, c, d)] == [{"result": 1}, None, None, None]
    assert all(wire.closed for wire in wires)


def test_workers_that_do_not_start_are_done_without(wires):
    crew = make(wires, 2, start_limit=0.05)
    first, second = tasks(crew, "a", "b")
    wires[0].receive({"ready": True})
    crew.wait()
    time.sleep(0.06)
    with pytest.warns(UserWarning, match=r"worker 2 has not started within 0.05 seconds.*goes on with 1"):
        crew.wait()
    assert wires[1].closed
    wires[0].receive({"result": 1})
    assert crew.wait() is first
    assert wires[0].sent[-1] == second.content


def test_a_worker_that_cannot_start_again_is_done_without(wires):
    crew = make(wires, 2, attempts=3)
    first, second = tasks(crew, "a", "b")
    wires[0].receive({"ready": True})
    crew.wait()
    wires[1].end = "the node is gone"
    wires[1].receive(None)
    crew.wait()
    wires[2].end = "the node is gone"
    wires[2].receive(None)
    with pytest.warns(UserWarning, match=r"worker 2 cannot start: the node is gone\. .*goes on with 1"):
        crew.wait()
    wires[0].receive({"result": 1})
    assert crew.wait() is first
    assert wires[0].sent[-1] == second.content
    assert second.attempts == 1


def test_it_is_an_error_if_no_worker_starts(wires):
    crew = make(wires, 2, start_limit=0.01)
    tasks(crew, "a", "b")
    time.sleep(0.02)
    with pytest.raises(RunError, match=r"no worker has started within 0.01 seconds\. Look at the launcher"):
        crew.wait()


def test_after_a_loss_those_that_run_get_the_task_first(wires):
    crew = make(wires, 2, attempts=2)
    (task,) = tasks(crew, "a")
    other = tasks(crew, "b")[0]
    for wire in wires:
        wire.receive({"ready": True})
        crew.wait()
    wires[1].receive({"result": 1})
    assert crew.wait() is other
    wires[0].end = "it was killed"
    wires[0].receive(None)
    crew.wait()
    assert wires[1].sent[-1] == task.content
    assert len(wires) == 2


def test_a_worker_of_another_version_is_an_error():
    order = Order("json:loads", ".", version="0.0.0")
    with pytest.raises(RunError, match=r"a worker on .* has nasforge .*, the main process 0\.0\.0\. Install"):
        Host(order, print)
