"""Latency of exported files, as a limit, an objective and a table. No test asserts a duration."""

import json
import sys

import pytest
import torch
from torch import nn

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.constraints import ConstraintsConfig
from nasforge.cost import latency_table
from nasforge.cost.latency import Timing
from nasforge.cost.latency_backend import Backend, ForwardPass
from nasforge.cost.latency_build import Settings, build_table
from nasforge.errors import RecipeError, RunError
from nasforge.exports.latency import CommandBackend, OnnxBackend, make_backend
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.recipe.latency_table import LatencyConfig
from nasforge.runs.limits import make_constraints
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.testing.parts import TinySpace
from support.tiny_recipe import tiny

pytest.importorskip("onnxscript")

CPU = Runtime.create("cpu")
TASK = Task(3, 8, 4)
SETTINGS = Settings(runs=1, warmup=0, references=2, networks=3)

BENCH = """
import json, sys, onnx
model = onnx.load(sys.argv[1])
ms = sum(int(__import__("math").prod(i.dims)) for i in model.graph.initializer) / 1000
print("loading")
print(json.dumps({"latency_ms": ms or 0.001, "lower_ms": 0.0, "upper_ms": 9.0, "runs": 7, "device": "board"}))
"""
"""Takes as many milliseconds as a file has thousands of weights."""


@pytest.fixture
def command(tmp_path):
    """A command that runs a program with a file."""

    def write(program):
        path = tmp_path / "bench.py"
        path.write_text(program)
        return f"{sys.executable} {path} {{file}}"

    return write


def job():
    return ForwardPass(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.zeros(1, 3, 8, 8))


def test_onnxruntime_times_exported_modules():
    told = []
    (timing,) = OnnxBackend().time([job()], runs=4, warmup=1, report=told.append)
    assert timing.runs == 4
    assert 0 < timing.lower_ms <= timing.median_ms <= timing.upper_ms
    assert told[-1] == 1.0


def test_a_command_times_a_file_elsewhere(command):
    backend = CommandBackend(command(BENCH), 60.0)
    (timing,) = backend.time([job()], runs=4, warmup=1)
    assert timing == Timing(0.112, 0.0, 9.0, 7)  # 4 x 3 x 9 weights and 4 biases
    assert backend.describe()["hardware"] == "board"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("print('fast')", r"printed 'fast'. Its last line must be JSON"),
        ("print('{}')", r"printed '{}'. Its last line must be JSON"),
        ("", r"printed nothing. Its last line must be JSON"),
        (
            "print('{\"latency_ms\": -1}')",
            r"reported latency_ms = -1.0: not a duration. Let it print milliseconds",
        ),
        ("print('{\"latency_ms\": NaN}')", r"reported latency_ms = nan: not a duration"),
        ("raise SystemExit('no board')", r"ended with status 1: no board. Try it by hand"),
        (
            "import sys; sys.stderr.buffer.write(b'Zubeh\\xf6r fehlt'); sys.exit(2)",
            r"ended with status 2: Zubeh\ufffdr fehlt. Try it by hand",
        ),
        (
            "import sys; sys.stdout.buffer.write(b'\\xff\\xfe')",
            r"printed '\ufffd\ufffd'. Its last line must be JSON",
        ),
        ("import time; time.sleep(30)", r"did not answer within 1 seconds"),
    ],
)
def test_a_command_that_fails(command, program, message):
    with pytest.raises(RunError, match=message):
        CommandBackend(command(program), 1.0 if "sleep" in program else 60.0).time([job()], runs=1, warmup=0)


def test_other_lines_of_a_command_may_be_in_any_encoding(command):
    program = "import sys; sys.stdout.buffer.write(b'\\xe4\\n{\"latency_ms\": 2}')"
    (timing,) = CommandBackend(command(program), 60.0).time([job()], runs=1, warmup=0)
    assert timing.median_ms == 2.0


def test_a_command_that_is_missing():
    with pytest.raises(
        RunError,
        match=r"latency.backend: 'no-such-bench {file}' cannot be started .*Write the path of a program",
    ):
        CommandBackend("no-such-bench {file}", 5.0).time([job()], runs=1, warmup=0)


def test_a_module_that_cannot_be_exported():
    class Odd(nn.Module):
        def forward(self, x):
            raise NotImplementedError("not for exports")

    with pytest.raises(RunError, match=r"Odd cannot be written as ONNX"):
        OnnxBackend().time([ForwardPass(Odd(), torch.zeros(1, 2))], runs=1, warmup=0)


def test_the_backend_of_a_recipe(command):
    assert make_backend(LatencyConfig(), CPU).name == "torch"
    assert make_backend(LatencyConfig(backend="onnxruntime"), CPU).name == "onnxruntime"
    assert isinstance(make_backend(LatencyConfig(backend=command(BENCH)), CPU), CommandBackend)
    with pytest.raises(RecipeError, match=r"latency.backend.*neither a backend.*Did you mean 'onnxruntime'"):
        check({**tiny(), "latency": {"backend": "onnxruntim"}}, Registry.discover())
    with pytest.raises(RecipeError, match=r"latency.backend.*has a quote that is never closed"):
        check({**tiny(), "latency": {"backend": "ssh 'board {file}"}}, Registry.discover())
    resolved = check({**tiny(), "latency": {"backend": "onnxruntime"}}, Registry.discover()).resolved()
    assert resolved["latency"]["backend"] == "onnxruntime"
    assert "latency" not in check(tiny(), Registry.discover()).resolved()


def test_a_missing_library_names_the_pip_line(monkeypatch):
    monkeypatch.setattr("nasforge.exports.format.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"latency.backend: needs onnx, .*pip install 'nasforge\[export\]'"):
        make_backend(LatencyConfig(backend="onnxruntime"), CPU)


def test_limits_take_what_the_command_measures(command, tmp_path):
    space, latency = TinySpace(PluginConfig()), LatencyConfig(backend=command(BENCH))
    config = ConstraintsConfig(max_latency_ms=1e6, latency="measured")
    limits = make_constraints(config, space, TASK, CPU, {"use": "tiny"}, tmp_path, latency)
    arch = Arch({choice.name: choice.options[: choice.k] for choice in space.choices})
    found = limits.value(arch, "latency_ms")
    weights = sum(p.numel() for p in space.build(TASK, arch).parameters())
    assert found == pytest.approx(weights / 1000, rel=0.35)  # the exporter folds norms into convolutions
    (row,) = (json.loads(line) for line in (tmp_path / "latency.jsonl").read_text().splitlines())
    assert row["device"] == latency.backend
    (tmp_path / "bench.py").write_text("raise SystemExit('asked again')")
    again = make_constraints(config, space, TASK, CPU, {"use": "tiny"}, tmp_path, latency)
    assert again.value(arch, "latency_ms") == found, "a network is timed once per run folder"


class Counted(Backend):
    """Takes a millisecond per module, and knows its device."""

    name = "counted"

    def time(self, jobs, *, runs, warmup, clock="wall", report=lambda share: None):
        self.jobs = jobs
        return [Timing(1.0, 1.0, 1.0, runs) for _ in jobs]

    def describe(self):
        return {"device": "command", "hardware": "board"}


def test_tables_say_what_they_were_measured_with(tmp_path):
    space = TinySpace(PluginConfig())
    described = {"use": "tiny"}
    table = build_table(space, TASK, CPU, described, settings=SETTINGS, backend=Counted())
    assert (table.about["backend"], table.about["hardware"]) == ("counted", "board")
    path = str(table.write(tmp_path / "t.json").path)
    config = ConstraintsConfig(max_latency_ms=10, latency=path)
    with pytest.raises(RunError, match=r"with latency.backend = 'counted', and the recipe says 'torch'"):
        make_constraints(config, space, TASK, CPU, described)
    plain = build_table(space, TASK, CPU, described, settings=SETTINGS).write(tmp_path / "p.json")
    assert latency_table.read(str(plain.path)).about["backend"] == "torch"


@pytest.mark.slow
def test_a_table_of_exported_modules():
    space = TinySpace(PluginConfig())
    table = build_table(space, TASK, CPU, {"use": "tiny"}, settings=SETTINGS, backend=OnnxBackend())
    assert table.about["backend"] == "onnxruntime"
    assert all(unit["median_ms"] > 0 for unit in table.units)
    assert table.error["networks"] == 3
