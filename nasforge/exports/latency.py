"""Latency of exported files: with onnxruntime here, or by a program of the user on another device."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nasforge.cost.latency import Clock, Timing, measure_in_turns
from nasforge.cost.latency_backend import Backend, ForwardPass, TorchBackend
from nasforge.errors import RunError
from nasforge.exports.onnx_file import Onnx, open_session, write_onnx
from nasforge.nn import Output
from nasforge.recipe.latency_table import ONNXRUNTIME, TORCH, LatencyConfig
from nasforge.runtime import Runtime

__all__ = ["CommandBackend", "OnnxBackend", "make_backend"]

WHERE = "latency.backend"


def make_backend(config: LatencyConfig, runtime: Runtime) -> Backend:
    """Return the backend that the ``[latency]`` table of a recipe chooses.

    Args:
        config: The table.
        runtime: Device and precision of "torch".

    Raises:
        RunError: A library is missing; the message has the pip line.
    """
    if config.backend == TORCH:
        return TorchBackend(runtime)
    try:
        Onnx().check_installed()
    except RunError as error:
        raise RunError(f"{WHERE}: {error}") from None
    return OnnxBackend() if config.backend == ONNXRUNTIME else CommandBackend(config.backend, config.timeout)


class OnnxBackend(Backend):
    """Times ONNX files with onnxruntime on the CPU, with as many threads as torch has."""

    name = ONNXRUNTIME

    def time(
        self,
        jobs: Sequence[ForwardPass],
        *,
        runs: int,
        warmup: int,
        clock: Clock = "wall",
        report: Callable[[float], None] = lambda share: None,
    ) -> list[Timing]:
        """Export all modules, then time them in turns."""
        with tempfile.TemporaryDirectory() as folder:
            calls = []
            for i, job in enumerate(jobs):
                path = Path(folder) / f"{i}.onnx"
                _write(job, path)
                calls.append(partial(open_session(path), job.given.cpu().contiguous()))
                report(0.9 * (i + 1) / len(jobs))
            runtime = Runtime.create("cpu")
            timings = measure_in_turns(calls, runtime, runs=runs, warmup=warmup, clock=clock)
        report(1.0)
        return timings

    def describe(self) -> dict[str, Any]:
        """Return that it runs on the CPU in single precision."""
        return {"device": "cpu", "precision": "fp32"}


class CommandBackend(Backend):
    """Gives each module as an ONNX file to a command, which times it and prints one line of JSON.

    The line has ``latency_ms``, the median of single calls; it may have ``lower_ms`` and ``upper_ms``, the
    quartiles, ``runs``, and ``device``, the name of the device. The command is not run by a shell.

    Args:
        command: ``{file}`` in it stands for the path of the file.
        timeout: Seconds for one file.
    """

    def __init__(self, command: str, timeout: float) -> None:
        self.name = self._command = command
        self._timeout = timeout
        self._device = ""

    def time(
        self,
        jobs: Sequence[ForwardPass],
        *,
        runs: int,
        warmup: int,
        clock: Clock = "wall",
        report: Callable[[float], None] = lambda share: None,
    ) -> list[Timing]:
        """Export all modules, and call the command for each."""
        timings = []
        with tempfile.TemporaryDirectory() as folder:
            for i, job in enumerate(jobs):
                path = Path(folder) / f"{i}.onnx"
                _write(job, path)
                timings.append(self._time_file(path))
                report((i + 1) / len(jobs))
        return timings

    def describe(self) -> dict[str, Any]:
        """Return the name of the device, if the command says it, else the command."""
        return {"device": "command", "hardware": self._device or self._command, "precision": "fp32"}

    def _time_file(self, path: Path) -> Timing:
        words = [word.replace("{file}", str(path)) for word in shlex.split(self._command)]
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                encoding="utf8",
                errors="replace",  # a board may print in another encoding; the JSON is ASCII
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RunError(
                f"{WHERE}: {self._command!r} did not answer within {self._timeout:g} seconds. Set "
                "latency.timeout to more, or let it time fewer calls."
            ) from None
        except OSError as error:
            raise RunError(
                f"{WHERE}: {self._command!r} cannot be started ({error.strerror}). Write the path of a "
                "program; no shell reads the command."
            ) from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
            raise RunError(
                f"{WHERE}: {self._command!r} ended with status {done.returncode}: {last.rstrip('.')}. Try it "
                "by hand with an ONNX file, which 'nasforge export RUN --format onnx' writes."
            )
        return self._read(done.stdout)

    def _read(self, text: str) -> Timing:
        lines = text.strip().splitlines()
        try:
            found = json.loads(lines[-1])
            median = float(found["latency_ms"])
            quartiles = float(found.get("lower_ms", median)), float(found.get("upper_ms", median))
            timing = Timing(median, *quartiles, int(found.get("runs", 1)))
            self._device = str(found.get("device", ""))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            shown = repr(lines[-1][:200]) if lines else "nothing"
            raise RunError(
                f"{WHERE}: {self._command!r} printed {shown}. Its last line must be JSON such as "
                '{"latency_ms": 3.2}.'
            ) from None
        if not (math.isfinite(median) and median > 0):
            raise RunError(
                f"{WHERE}: {self._command!r} reported latency_ms = {median}: not a duration. Let it print "
                "milliseconds above 0."
            )
        return timing


class _Single(nn.Module):
    """A module with one input and one output."""

    def __init__(self, job: ForwardPass) -> None:
        super().__init__()
        self.module, self._arguments = job.module, job.arguments

    def forward(self, x: Tensor) -> Tensor:
        found = self.module(x, *self._arguments)
        return found.logits if isinstance(found, Output) else found


def _write(job: ForwardPass, path: Path) -> None:
    module = _Single(job).eval()
    try:
        write_onnx(module, job.given.contiguous(), path, {}, any_batch=False)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        raise RunError(
            f"{WHERE}: {type(job.module).__name__} cannot be written as ONNX ({type(error).__name__}: "
            f'{reason}). Write operations that torch.onnx.export knows, or time with backend = "torch".'
        ) from None
