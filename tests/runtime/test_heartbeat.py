"""Signs of life: how their thread ends."""

import time
from datetime import timedelta

import pytest
from torch._C._distributed_c10d import TCPStore

from nasforge.runtime import heartbeat
from nasforge.runtime.heartbeat import Heartbeat


@pytest.fixture
def store():
    return TCPStore("127.0.0.1", 0, None, True, timedelta(seconds=5))


def test_signs_of_life_are_counted(store, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    beat = Heartbeat("127.0.0.1", store.port, "beat", 0, 1)
    beat.start()
    store.wait(["beat/0"])
    while store.add("beat/0", 0) < 3:
        time.sleep(0.01)
    beat.stop()
    count = store.add("beat/0", 0)
    time.sleep(0.05)
    assert store.add("beat/0", 0) == count


def test_stopping_waits_for_a_store_that_answers_late(store, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    beat = Heartbeat("127.0.0.1", store.port, "beat", 0, 1)

    class Late:
        def add(self, name, amount):
            time.sleep(0.3)
            return 1

    beat._store = Late()
    beat.start()
    time.sleep(0.1)
    beat.stop()
    assert not beat._thread.is_alive()
