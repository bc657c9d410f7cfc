"""Programs of others, driven from here, in processes and environments of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import Size

__all__ = ["Nni"]


class Nni:
    """nni's one-shot DARTS, one step at a time.

    Args:
        python: The interpreter of its environment.
        space: ``"darts"`` or ``"nasbench201"``.
        size: As nasforge's.
        device: Where it computes.
    """

    def __init__(self, python: Path, space: str, size: Size, device: str) -> None:
        options = {
            "--channels": size.channels,
            "--cells": size.cells,
            "--batch": size.batch,
            "--image-size": size.image_size,
            "--threads": torch.get_num_threads(),
            "--device": device,
        }
        script = Path(__file__).with_name("peer_nni.py")
        arguments = [str(part) for option in options.items() for part in option]
        # -I: what lies beside the script is no module of nni's.
        command = [str(python), "-I", str(script), space, *arguments, "--driven"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def step(self) -> float:
        """Make one step of the weights and one of the architecture; return its seconds.

        Raises:
            RuntimeError: The program ended; says with which words.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            _, errors = process.communicate()
            raise RuntimeError(
                f"nni ended: {errors.strip().splitlines()[-1:] or process.returncode}"
            ) from None
        return float(answer["seconds"])

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.communicate()
