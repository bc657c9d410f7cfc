"""The crew: tasks of any kind, given to workers that answer, fail, are lost, and end."""

import os
import warnings
from pathlib import Path

import pytest

from nasforge.errors import DataError, NasforgeError, RunError
from nasforge.parallel import crew as crew_module
from nasforge.parallel.crew import Crew, WorkItem
from nasforge.parallel.messages import Order, revive_error
from nasforge.parallel.processes import Process
from support.played_workers import make, tasks


@pytest.fixture
def wires():
    return []


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


ANSWERS = """
import os
import sys
import warnings

from nasforge.errors import RunError


class Answers:
    def __init__(self, send, shift):
        self.send, self.shift = send, shift

    def answer(self, task):
        if task["do"] == "add":
            print("noise on standard output")
            return {"sum": task["x"] + self.shift, "pid": os.getpid(), "place": os.getcwd()}
        if task["do"] == "send":
            self.send({"report": {"x": 1}})
            warnings.warn("careful", stacklevel=1)
            return {}
        if task["do"] == "threads":
            return {"env": os.environ.get("OMP_NUM_THREADS")}
        if task["do"] == "refuse":
            raise RunError("two\\nlines")
        if task["do"] == "break":
            return 1 / 0
        os._exit(7)
"""


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Makes crews of real processes."""
    (tmp_path / "answers.py").write_text(ANSWERS)
    monkeypatch.syspath_prepend(tmp_path)
    crews = []

    def make(workers=1, threads=None, target="answers:Answers", **more):
        order = Order(target, str(tmp_path), threads, {"shift": 10})
        crews.append(Crew(workers, lambda number, receive: Process(order, receive), **more))
        return crews[-1]

    yield make
    for crew in crews:
        crew.close()


def finish(crew, *contents):
    made = [WorkItem(content) for content in contents]
    for task in made:
        crew.submit(task)
    while any(task.outcome is None for task in made):
        crew.wait()
    return [task.outcome for task in made]


@pytest.mark.slow
def test_a_process_builds_the_class_of_its_order_and_answers(answers, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    heard = []
    crew = answers(on_message=lambda task, worker, message: heard.append(message))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, _, refused, broken, threads = finish(
            crew,
            {"do": "add", "x": 1},
            {"do": "send"},
            {"do": "refuse"},
            {"do": "break"},
            {"do": "threads"},
        )
    assert first["result"] == {"sum": 11, "pid": first["result"]["pid"], "place": str(tmp_path)}
    assert first["result"]["pid"] != os.getpid()
    assert heard == [{"report": {"x": 1}}]
    assert [str(warning.message) for warning in caught] == ["careful"]
    assert (refused["error"], refused["kind"], refused["fatal"]) == ("two\nlines", "RunError", False)
    assert broken["error"].startswith("ZeroDivisionError: division by zero (answers.py, line ")
    assert "return 1 / 0" in broken["traceback"]
    assert threads["result"] == {"env": "3"}
    crew.close()
    assert "noise" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_process_that_exits_or_cannot_build_its_class_is_an_error(answers):
    (lost,) = finish(answers(threads=1), {"do": "exit"})
    assert lost["lost"]
    assert lost["error"] == "the worker exited with code 7."
    (unbuilt,) = finish(answers(target="answers:Nothing"), {"do": "add", "x": 1})
    assert unbuilt["fatal"]
    error = revive_error(unbuilt)
    assert isinstance(error, NasforgeError)
    assert str(error).startswith("AttributeError: module 'answers' has no attribute 'Nothing' (host.py, ")


def test_the_core_of_the_pool_knows_neither_candidates_nor_benches():
    folder = Path(crew_module.__file__).parent
    for name in ("crew", "host", "messages", "processes"):
        text = (folder / f"{name}.py").read_text()
        assert not [word for word in ("nasforge.stages", "nasforge.benches", "Arch") if word in text]
