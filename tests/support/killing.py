"""Runs in processes of their own, which are killed at a chosen moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

IMAGES = """
[run]
name = "tiny"
threads = 1
report = false
[data]
use = "synthetic"
num_classes = 3
image_size = 16
train_images = 96
test_images = 24
batch_size = 12
"""
"""The first tables of a recipe that needs no files."""


def start(recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start ``nasforge run`` with one thread."""
    # A forecast takes seconds and would be killed instead of the stage.
    command = [sys.executable, "-m", "nasforge", "run", str(recipe), "--out", str(out)]
    command += ["--set", "run.forecast=false"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes]) -> str:
    """Wait for a run that must succeed; return its output."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return output.decode()


def kill_when(process: subprocess.Popen[bytes], metrics: Path, stage: str, step: int, delay: float) -> None:
    """Kill as soon as the metrics hold a row of this stage and step, or a little later."""
    wanted = f'"stage": "{stage}", "step": {step},'
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and wanted in metrics.read_text():
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    process.communicate()
