"""Crews of real processes."""

import os
import warnings

import pytest

from nasforge.errors import NasforgeError
from nasforge.parallel.crew import Crew, WorkItem
from nasforge.parallel.messages import Order, revive_error
from nasforge.parallel.processes import Process

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
        if task["do"] == "store":
            raise OSError(28, "No space left on device", "slot.safetensors")
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
        first, _, refused, broken, full, threads = finish(
            crew,
            {"do": "add", "x": 1},
            {"do": "send"},
            {"do": "refuse"},
            {"do": "break"},
            {"do": "store"},
            {"do": "threads"},
        )
    assert first["result"] == {"sum": 11, "pid": first["result"]["pid"], "place": str(tmp_path)}
    assert first["result"]["pid"] != os.getpid()
    assert heard == [{"report": {"x": 1}}]
    assert [str(warning.message) for warning in caught] == ["careful"]
    assert (refused["error"], refused["kind"], refused["fatal"]) == ("two\nlines", "RunError", False)
    assert broken["error"].startswith("ZeroDivisionError: division by zero (answers.py, line ")
    assert "return 1 / 0" in broken["traceback"]
    assert full["fatal"]
    assert str(revive_error(full)) == (
        "'slot.safetensors': no space left on device. Free some space, then run the same command again."
    )
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
