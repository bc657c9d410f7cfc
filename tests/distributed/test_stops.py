"""A process that is asked to stop: all of them stop at the same batch, and any number goes on from there."""

from __future__ import annotations

import pytest

from nasforge.training import stopping
from support.ranks import run_ranks, start_ranks
from support.sharded import result_of, sharded


class Countdown:
    """Stands for a signal that comes after so many looks at it."""

    agree = None

    def __init__(self, looks: int) -> None:
        self.left = looks

    @property
    def reason(self) -> str | None:
        self.left -= 1
        return "SIGTERM" if self.left < 0 else None


@pytest.mark.parametrize(
    ("kind", "looks", "then"),
    [
        ("gdas", 6, 1),
        pytest.param("train", 9, 4, marks=pytest.mark.slow),
        pytest.param("cdarts", 5, 2, marks=pytest.mark.slow),
        pytest.param("spos", 8, 1, marks=pytest.mark.slow),
    ],
)
def test_processes_stop_together_and_go_on_to_the_same_bits(kind, looks, then, tmp_path, monkeypatch):
    recipe = sharded(kind)
    straight = result_of(run_ranks(recipe, tmp_path / "straight", 1))

    def ask_one(rank: int) -> None:
        if rank == 1:
            monkeypatch.setattr(stopping, "_Request", Countdown(looks))

    ranks = start_ranks(recipe, tmp_path / "stopped", 2, ask_one)
    assert ranks.wait() == [1, 1]
    words = ranks.words()
    assert "Stopped: another process of this run" in words[0]
    assert "Stopped: SIGTERM" in words[1]
    assert result_of(tmp_path / "stopped" / "out" / "sharded") != straight, "it was over"
    assert result_of(run_ranks(recipe, tmp_path / "stopped", then)) == straight
