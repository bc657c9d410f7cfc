"""The observer: which display it takes for runs, and what it writes about benches."""

import sys

import pytest

from nasforge_plugins.observers.progress import display
from nasforge_plugins.observers.progress.config import ProgressConfig
from nasforge_plugins.observers.progress.observer import Progress


@pytest.mark.parametrize(
    ("style", "terminal", "kind"),
    [
        ("auto", False, display.Lines),
        ("auto", True, display.Bars),
        ("lines", True, display.Lines),
        ("bars", False, display.Bars),
    ],
)
def test_the_style_decides_and_else_the_terminal(style, terminal, kind, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    progress = Progress(ProgressConfig(style=style))
    progress.run_start("mine", {})
    assert type(progress._display) is kind
    progress.close()
    progress.close()
    assert progress._display is None


def test_a_run_is_shown_by_its_display(capsys):
    progress = Progress(ProgressConfig(pause=0))
    progress.run_start("mine", {})
    progress.stage_start("search", 0, 2)
    progress.progress("search", {"done": 0.5, "loss": 2.0})
    progress.step("search", 1, {"loss": 1.5}, "conv")
    progress.stage_end("search", {"seconds": 3}, False)
    progress.run_end({})
    shown, told = capsys.readouterr()
    words = [
        "run mine",
        "search: begins",
        "search: 25 %  loss 2",
        "search 1/2  loss 1.5",
        "search: done in 3 s",
    ]
    assert [line.startswith(word) for line, word in zip(shown.splitlines(), words, strict=True)] == [True] * 5
    assert told == ""


def bench(progress, total):
    progress.bench_start("b", 0, total)
    for done in range(1, total + 1):
        progress.bench_run_end(done, total, {"searcher": "random", "seed": done, "score": 90.123456789})
    progress.bench_end([])
    progress.close()


def test_a_bench_is_counted_on_standard_error_ten_times(capsys):
    bench(Progress(ProgressConfig()), 40)
    shown, told = capsys.readouterr()
    assert shown == ""
    assert told.splitlines() == [f"{done} of 40 runs" for done in range(4, 41, 4)]


def test_a_bench_in_a_terminal_shows_its_last_run(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bench(Progress(ProgressConfig()), 2)
    told = capsys.readouterr().err
    assert told == (
        "\r1 of 2 runs: random, seed 1: 90.1235\033[K\r2 of 2 runs: random, seed 2: 90.1235\033[K\n"
    )
