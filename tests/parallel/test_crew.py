"""The crew: tasks of any kind, given to workers that answer, fail, are lost, and end."""

import time
from pathlib import Path

import pytest

from nasforge.errors import DataError, RunError
from nasforge.parallel import crew as crew_module
from nasforge.parallel.crew import Crew, WorkItem
from nasforge.parallel.host import Host
from nasforge.parallel.messages import Order, revive_error


class Wire:
    """A worker that a test plays."""

    def __init__(self, number, receive):
        self.number, self.receive = number, receive
        self.sent, self.end, self.closed = [], None, False

    def send(self, message):
        self.sent.append(message)

    def stop(self, reason):
        self.sent.append({"stop": reason})

    def poll(self):
        return self.end

    def close(self):
        self.closed = True


@pytest.fixture
def wires():
    return []


def make(wires, workers=2, **more) -> Crew:
    def connect(number, receive):
        wires.append(Wire(number, receive))
        return wires[-1]

    return Crew(workers, connect, **more)


def tasks(crew, *names, key=None):
    made = [WorkItem({"name": name}, key) for name in names]
    for task in made:
        crew.submit(task)
    return made


def test_workers_start_when_there_is_work_and_take_a_task_each(wires):
    crew = make(wires)
    assert not wires
    a, b, c = tasks(crew, "a", "b", "c")
    assert [wire.sent for wire in wires] == [[{"name": "a"}], [{"name": "b"}]]
    wires[1].receive({"ready": True})
    wires[1].receive({"result": 3})
    assert crew.wait() is None
    assert crew.wait() is b
    assert (a.outcome, b.outcome, c.outcome) == (None, {"result": 3}, None)
    assert wires[1].sent[1:] == [{"name": "c"}]


def test_tasks_with_one_key_take_turns(wires):
    crew = make(wires)
    (first, second), _ = tasks(crew, "a", "b", key="k"), tasks(crew, "c")
    assert [wire.sent for wire in wires] == [[{"name": "a"}], [{"name": "c"}]]
    wires[0].receive({"result": 1})
    assert crew.wait() is first
    assert wires[0].sent[1:] == [second.content]


def test_messages_come_with_their_task_and_the_number_of_the_worker(wires):
    heard = []
    crew = make(wires, on_message=lambda *message: heard.append(message))
    _, second = tasks(crew, "a", "b")
    wires[1].receive({"report": 5})
    wires[1].receive({"warning": "old", "category": "DeprecationWarning"})
    crew.wait()
    with pytest.warns(DeprecationWarning, match="old"):
        crew.wait()
    assert heard == [(second, 2, {"report": 5})]


def test_what_fails_is_tried_again_before_others_and_then_over(wires):
    retried = []
    crew = make(wires, 1, attempts=2, on_retry=lambda *retry: retried.append(retry))
    first, second = tasks(crew, "a", "b")
    for _ in range(2):
        wires[0].receive({"error": "no", "kind": "ValueError", "fatal": False})
    assert crew.wait() is None
    assert crew.wait() is first
    assert retried == [(first, "no")]
    assert (first.attempts, first.outcome["error"]) == (2, "no")
    assert wires[0].sent == [first.content, first.content, second.content]


def test_a_fatal_error_is_not_tried_again(wires):
    crew = make(wires, attempts=2)
    (task,) = tasks(crew, "a")
    wires[0].receive({"error": "no images", "kind": "DataError", "fatal": True})
    assert crew.wait() is task
    assert isinstance(revive_error(task.outcome), DataError)


def test_a_lost_worker_is_replaced_and_its_late_messages_do_not_count(wires):
    crew = make(wires, 1, attempts=2)
    (task,) = tasks(crew, "a")
    wires[0].receive({"ready": True})
    wires[0].end = "it was killed"
    wires[0].receive(None)
    wires[0].receive({"result": "late"})
    assert [crew.wait() for _ in range(3)] == [None] * 3
    assert wires[0].closed
    assert wires[1].sent == [task.content]
    wires[1].receive({"ready": True})
    wires[1].receive(None)
    crew.wait()
    assert crew.wait() is task
    assert task.outcome == {"error": "the worker broke off the connection.", "fatal": False, "lost": True}


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
    with pytest.warns(UserWarning, match=r"worker 2 has not started within 0.05 seconds.*continues with 1"):
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
    with pytest.warns(UserWarning, match=r"worker 2 cannot start: the node is gone\. .*continues with 1"):
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


def test_workers_that_are_lost_in_silence_are_found(wires, monkeypatch):
    monkeypatch.setattr(crew_module, "PATIENCE", 0.01)
    crew = make(wires)
    made = tasks(crew, "a", "b")
    for wire in wires:
        wire.end = "it is gone."
        wire.receive({"ready": True})
    ended = [crew.wait() for _ in range(5)]
    assert [task for task in ended if task] == made
    assert {task.outcome["error"] for task in made} == {"it is gone."}


def test_workers_that_cannot_start_are_reported(wires):
    crew = make(wires, 1, attempts=3)
    tasks(crew, "a")
    wires[0].receive(None)
    crew.wait()
    wires[1].end = "exited with code 3."
    wires[1].receive(None)
    with pytest.raises(RunError, match=r"run\.workers: a worker cannot start: exited with code 3\.$"):
        crew.wait()


def test_after_closing_nothing_is_heard(wires):
    crew = make(wires)
    tasks(crew, "a", "b")
    crew.close()
    assert all(wire.closed for wire in wires)
    wires[0].receive({"result": 1})
    assert crew.wait() is None


@pytest.mark.parametrize(
    ("kind", "revived"),
    [
        ("DataError", DataError),
        ("RunError", RunError),
        ("RecipeError", RunError),
        ("suggest", RunError),
        ("TableError", RunError),
    ],
)
def test_errors_of_workers_become_those_of_nasforge(kind, revived):
    error = revive_error({"error": "why", "kind": kind, "traceback": "line 3"})
    assert (type(error), str(error)) == (revived, "why")
    assert error.__notes__ == ["In the worker:\nline 3"]


def test_the_core_of_the_pool_knows_neither_candidates_nor_benches():
    folder = Path(crew_module.__file__).parent
    for name in ("crew", "host", "messages", "processes"):
        text = (folder / f"{name}.py").read_text()
        assert not [word for word in ("nasforge.stages", "nasforge.benches", "Arch") if word in text]
