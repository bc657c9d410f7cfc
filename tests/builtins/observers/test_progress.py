import io
import threading
import time

import pytest
from rich.console import Console

from nasforge_plugins.observers.progress.display import Bars, Lines, describe_duration, describe_metrics


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_line_per_step_with_the_time_left(capsys, clock):
    lines = Lines(clock)
    lines.run_start("mine", {})
    lines.stage_start("search", 0, 4)
    clock.now = 10
    lines.step("search", 1, {"loss": 1.23456, "done": 1, "params": 12345}, "arch-1")
    clock.now = 20
    lines.step("search", 2, {}, None)
    lines.stage_end("search", {"seconds": 41.0}, False)
    lines.stage_end("derive", {"seconds": 1.0}, True)
    assert capsys.readouterr().out.splitlines() == [
        "run mine",
        "search: begins",
        "search 1/4  loss 1.235, params 12,345  30 s left  arch-1",
        "search 2/4  20 s left",
        "search: done in 41 s",
        "derive: was done before",
    ]


def test_steps_of_an_earlier_process_do_not_count_for_the_pace(capsys, clock):
    lines = Lines(clock)
    lines.stage_start("search", 90, 100)
    clock.now = 10
    lines.step("search", 91, {}, None)
    assert capsys.readouterr().out.splitlines() == [
        "search: resumes after step 90 of 100",
        "search 91/100  90 s left",
    ]


def test_long_steps_speak_now_and_then(capsys, clock):
    lines = Lines(clock, pause=30)
    lines.stage_start("train", 0, None)
    for second in range(1, 70):
        clock.now = float(second)
        lines.progress("train", {"done": second / 100, "loss": 1.0})
    assert capsys.readouterr().out.splitlines() == [
        "train: begins",
        "train: 30 %  loss 1  70 s left",
        "train: 60 %  loss 1  40 s left",
    ]


def test_a_long_step_that_goes_on_in_its_middle_keeps_its_pace(capsys, clock):
    lines = Lines(clock, pause=1)
    lines.stage_start("train", 0, None)
    lines.progress("train", {"done": 0.5})
    clock.now = 10
    lines.progress("train", {"done": 0.6})
    assert "40 s left" in capsys.readouterr().out


def test_progress_inside_steps_moves_the_share(capsys, clock):
    lines = Lines(clock, pause=1)
    lines.stage_start("search", 0, 2)
    clock.now = 10
    lines.progress("search", {"done": 0.5})
    assert capsys.readouterr().out.splitlines()[-1] == "search: 25 %  30 s left"


def test_what_comes_before_the_steps_has_a_pace_of_its_own(capsys, clock):
    lines = Lines(clock, pause=1)
    lines.stage_start("search", 0, 100)
    for second, share in ((10, 0.1), (20, 0.2), (100, 1.0)):
        clock.now = float(second)
        lines.progress("search", {"prepared": share, "epoch": second // 10})
    clock.now = 102
    lines.step("search", 1, {}, None)
    assert capsys.readouterr().out.splitlines() == [
        "search: begins",
        "search: preparing, 10 %  epoch 1",
        "search: preparing, 20 %  epoch 2  80 s left",
        "search: 0 %  epoch 10",
        "search 1/100  3 min left",
    ]


def test_unknown_lengths_show_no_time(capsys, clock):
    lines = Lines(clock)
    lines.stage_start("train", 0, None)
    clock.now = 5
    lines.step("train", 1, {"accuracy": 50.0}, None)
    assert capsys.readouterr().out.splitlines()[-1] == "train 1  accuracy 50"


def test_long_architectures_are_cut(capsys, clock):
    lines = Lines(clock)
    lines.stage_start("search", 0, 1)
    lines.step("search", 1, {}, "x" * 1000)
    assert capsys.readouterr().out.splitlines()[-1] == f"search 1/1  {'x' * 99}…"


def test_bars_keep_what_is_over_above_them():
    out = io.StringIO()
    bars = Bars(Console(file=out, force_terminal=True, width=120, color_system=None))
    bars.run_start("mine", {})
    bars.stage_start("search", 0, 2)
    bars.progress("search", {"prepared": 0.5})
    bars._bars.refresh()
    bars.progress("search", {"prepared": 1.0})
    bars.progress("search", {"done": 0.5, "loss": 2.0})
    bars.step("search", 1, {"loss": 1.5}, "[arch]")
    bars.stage_end("search", {"seconds": 3}, False)
    bars.close()
    text = out.getvalue()
    assert "run mine" in text
    assert "preparing, 50 %" in text
    assert "search 1/2  loss 1.5  [arch]" in text
    assert "search: done in 3 s" in text
    assert "\x1b[?25h" in text, "the cursor is shown again"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3000, "50 min"),
        (6000, "1 h 40 min"),
        (90_000, "25 h 00 min"),
        (1_000_000, "11 d 14 h"),
    ],
)
def test_durations(seconds, words):
    assert describe_duration(seconds) == words


def test_metrics_leave_out_what_is_no_metric():
    assert describe_metrics(
        {"done": 0.1, "prepared": 0.1, "loss": 0.00001234, "epoch": 3, "best": 97.53219}
    ) == ("loss 1.234e-05, epoch 3, best 97.53")


FORECAST = {
    "stages": [{"stage": "search", "seconds": 100.0}, {"stage": "train", "seconds": None}],
    "text": ["forecast on cpu:", "  search  about 100 s"],
}


def test_a_forecast_is_written_and_corrects_the_pace_of_a_quick_beginning(capsys, clock):
    lines = Lines(clock)
    lines.forecast(FORECAST)
    lines.stage_start("search", 0, 4)
    clock.now = 4  # a warm-up, whose pace would promise 12 s
    lines.step("search", 1, {}, None)
    clock.now = 130  # slower than was forecast
    lines.step("search", 3, {}, None)
    assert capsys.readouterr().out.splitlines() == [
        *FORECAST["text"],
        "search: begins",
        "search 1/4  75 s left",
        "search 3/4  32 s left",
    ]


def test_the_time_left_is_known_before_the_first_step(capsys, clock):
    lines = Lines(clock, pause=30)
    lines.forecast(FORECAST)
    lines.stage_start("search", 0, None)
    clock.now = 59
    lines.write_heartbeat()
    clock.now = 60
    lines.write_heartbeat()
    assert capsys.readouterr().out.splitlines()[-2:] == ["search: begins", "search: 0 %  40 s left"]


def test_a_silent_step_is_heard_of_every_minute(capsys, clock):
    lines = Lines(clock, pause=30)
    lines.stage_start("search", 0, 4)
    for second in range(0, 200, 5):
        clock.now = float(second)
        lines.write_heartbeat()
    lines.stage_end("search", {"seconds": 200.0}, False)
    clock.now = 500
    lines.write_heartbeat()
    said = capsys.readouterr().out.splitlines()
    assert said == ["search: begins", *["search: 0 %"] * 3, "search: done in 3 min"]


def test_a_thread_breaks_the_silence_until_the_end(capsys):
    earlier = set(threading.enumerate())
    lines = Lines(pause=0.02)
    lines.run_start("mine", {})
    (thread,) = set(threading.enumerate()) - earlier
    lines.stage_start("search", 0, None)
    deadline = time.monotonic() + 30
    said = ""
    while "search: 0 %" not in said and time.monotonic() < deadline:
        time.sleep(0.01)
        said += capsys.readouterr().out
    lines.close()
    assert "search: 0 %" in said
    thread.join(30)
    assert not thread.is_alive()
