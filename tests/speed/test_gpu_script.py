"""The script for a GPU, without one: it runs from end to end, keeps its time, and records what fails."""

import json
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the installed package does not contain the benchmarks

from benchmarks.gpu import right, script
from benchmarks.gpu.exact import EqualNoise
from benchmarks.gpu.fast import GPU_ROWS, WAYS
from benchmarks.gpu.published import SAVING, search_published
from benchmarks.gpu.record import DeviceLostError, Record
from benchmarks.gpu.right import Steps, compare

CPU = torch.device("cpu")


def test_the_whole_script_runs_and_continues(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    record = Record(out, script._describe(CPU), seconds=SAVING)
    with record.part("published", 1.0):  # no time is left: it stops at its first batch
        search_published(record, CPU, True, tmp_path / "gpu", None, False)
    stopped = json.loads(out.read_text())["parts"]["published"]["cdarts_nasbench201"]
    assert stopped["stopped"] == "the time is over"
    assert stopped["cycles"] < 2

    script.main(["--device", "cpu", "--tiny", "--minutes", "5", "--out", str(out)])
    parts = json.loads(out.read_text())["parts"]
    rows = {f"{part}: {name}": row for part, found in parts.items() for name, row in found.items()}
    assert not [row for row in rows.values() if "failed" in row]
    skipped = {name: row["skipped"] for name, row in rows.items() if "skipped" in row}
    assert set(skipped) == {"right: waits", "fast: nasbench201-darts, graph", "fast: nasbench201-darts, tf32"}
    steps = rows["right: darts, nasbench201"]
    assert steps["float64"]["losses"] < 1e-12
    assert 0 < steps["float32"]["losses"] < 1e-5
    assert rows["right: resume: darts, nasbench201"]["equal"] > 50
    plain, eager = (rows[f"fast: nasbench201-darts, {way}"]["operators"] for way in ("plain", "eager"))
    assert 0 < eager < plain
    assert rows["published: cdarts_nasbench201"]["cycles"] == 2
    assert rows["published: cdarts_nasbench201"]["architecture"].startswith("|")
    assert "published    1 measured, 0 failed, 0 skipped" in capsys.readouterr().out

    script.main(["--device", "cpu", "--tiny", "--out", str(out), "--parts", "right", "depthwise"])
    measured = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[:-4]]
    assert measured == [["right", "waits"]]


def test_there_are_ten_rows_and_names_differ():
    assert len({row.name for row in GPU_ROWS}) == len(GPU_ROWS) == 10
    assert next(iter(WAYS)) == "eager"
    assert {row.size.batch for row in GPU_ROWS if row.name.endswith("-256")} == {256}


class Clock:
    now = 100.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        self.now += seconds
        return {"value": seconds}


def fail():
    raise RuntimeError("no kernel\nsecond line")


def test_rows_that_fail_or_do_not_fit_are_recorded(tmp_path):
    clock, out = Clock(), tmp_path / "gpu.json"
    record = Record(out, {"gpu": "A"}, 20.0, clock=clock)
    with record.part("fast", 0.5):
        record.measure("first", lambda: clock.work(4.0))
        assert record.measure("bad", fail)["failed"] == "RuntimeError: no kernel"
        record.measure("second", lambda: clock.work(3.0))
        record.measure("late", lambda: clock.work(1.0))
        assert json.loads(out.read_text())["parts"]["fast"]["late"] == {
            "skipped": "3.0 s were left, and a row took up to 4.0 s"
        }
    with record.part("more", 1.0):
        assert record.measure("first", lambda: clock.work(4.0))["value"] == 4.0

    def again(**more):
        with (later := Record(out, {"gpu": "A"}, 20.0, clock=clock, **more)).part("fast", 1.0):
            return [later.measure(row, lambda: {"new": True}) for row in ("first", "bad", "late")]

    assert ["new" in row for row in again(keep_failures=True)] == [False, False, True]
    assert ["new" in row for row in again()] == [False, True, True]
    with pytest.raises(SystemExit, match="other hardware"):
        Record(out, {"gpu": "B"}, 20.0)


def test_a_row_that_does_not_end_is_interrupted(tmp_path):
    record = Record(tmp_path / "gpu.json", {}, 0.05)
    with record.part("fast", 1.0):
        row = record.measure("endless", lambda: time.sleep(30) or {})
        assert row["skipped"].startswith("was not over when")
        assert row["seconds"] < 10
        assert record.measure("next", dict)["skipped"].startswith("0.0 s were left")


def test_a_lost_gpu_is_left_to_a_new_process(tmp_path, monkeypatch):
    def lose(*_):
        raise DeviceLostError("an illegal memory access was encountered")

    monkeypatch.setattr(script, "_do", lose)
    given = ["--device", "cpu", "--out", str(tmp_path / "gpu.json"), "--minutes", "3"]
    calls = []
    script.main(given, restart=lambda *call: calls.append(call))
    program, command = calls[0]
    assert command[:-2] == [program, "-m", "benchmarks.gpu", *given]
    assert command[-2] == "--spent"
    assert 0 <= float(command[-1]) < 60


def test_steps_that_differ_fail(monkeypatch):
    exact = Steps(torch.tensor([[2.0, 1.0], [1.0, 0.5]], dtype=torch.float64), {"w": torch.ones(2)})
    near = Steps(exact.losses + torch.tensor([[0.0], [1e-4]]), {"w": torch.tensor([1.0, 1.1])})
    found = compare(near, exact)
    assert found == pytest.approx({"first losses": 0.0, "losses": 2e-4, "weights": 0.1})
    monkeypatch.setattr(right, "build_subject", lambda *_: None)
    monkeypatch.setattr(right, "_make_steps", lambda subject, doubles: made.pop(0))
    made = [exact, near]
    with pytest.raises(ArithmeticError, match=r"float64: losses differ by 0\.0002, and may by 1e-06"):
        right._check_steps("darts", "chain", CPU)
    made = [exact, exact, near]
    assert right._check_steps("darts", "chain", CPU)["float32"] == found


def test_noise_is_equal_in_all_precisions():
    drawn = []
    for dtype in (torch.float32, torch.float64):
        x = torch.ones(4, dtype=dtype)
        torch.manual_seed(3)
        with EqualNoise():
            new = torch.randn(3, dtype=dtype)
            drawn.append(
                [new, torch.empty_like(x).exponential_(), torch._sample_dirichlet(x), torch.bernoulli(x / 2)]
            )
        assert all(values.dtype == dtype for values in drawn[-1])
    assert all(values.std() > 0 for values in drawn[1][:3])
    for low, high in zip(*drawn, strict=True):
        torch.testing.assert_close(low.double(), high, rtol=1e-6, atol=1e-7)
