"""The ``[run]`` table: where a recipe computes, and under which name and seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nasforge.config import PluginConfig
from nasforge.errors import suggest

__all__ = ["RunConfig"]

DEVICES = ("auto", "cpu", "cuda", "hpu", "mps", "mtia", "privateuseone", "xla", "xpu")

LONGEST_NAME = 200
"""Bytes of a folder's name; file systems take 255."""


class RunConfig(PluginConfig):
    """Options of the ``[run]`` table: what concerns the run as a whole."""

    name: str | None = None
    """Names the folder under the output folder; default: the recipe file's name."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seeds every random number generator; the same seed on the same machine gives the same run."""

    device: str = "auto"
    """Where networks compute: "auto" takes a GPU if there is one, else "cpu", "cuda", "cuda:1" and so on."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of activations: "bf16" is meant for recent GPUs, and was slower on a CPU without matrix
    units wherever it was measured; "fp16" is meant for GPUs without bf16, and scales losses. Weights stay in
    fp32."""

    channels_last: bool = True
    """Whether images and convolutions use the channels-last memory layout, which is usually faster."""

    gradient_checkpointing: bool = False
    """Whether networks keep only the inputs of their cells or blocks for the gradient, and compute each block
    twice: less memory, more time, the same numbers."""

    compile: bool | Literal["auto"] = "auto"
    """Whether trainings compile the cells or blocks of their network with torch.compile; searches never do.
    "auto" does where it was measured to pay, which is nowhere yet: a CPU was too little faster."""

    graphs: bool | Literal["auto"] = "auto"
    """Whether steps of a search run as CUDA graphs: captured once, then replayed with one launch. Steps that
    cannot be captured run as they are, and environment.json says why. "auto" does where it was measured to
    pay, which is nowhere yet. Without an NVIDIA GPU, true changes nothing and gives a warning."""

    tf32: bool | Literal["auto"] = "auto"
    """Whether an NVIDIA GPU rounds the factors of fp32 products to TF32 (10 bits), which is faster; "auto" is
    torch's default: in convolutions, not in matrix products."""

    cudnn_benchmark: bool = False
    """Whether cuDNN times its algorithms for every shape and takes the fastest: two runs may then take
    different ones, which round differently."""

    deterministic: bool = False
    """Whether a GPU uses deterministic operators only, so that equal runs give equal bits. An operator
    without a deterministic form is an error. A CPU always computes so."""

    depthwise_layout: Literal["auto", "channels_last", "contiguous"] = "auto"
    """Memory layout in which a GPU computes depthwise convolutions of channels-last networks; "auto" measures
    both once, and keeps the result in NASFORGE_CACHE. On a CPU it changes nothing."""

    threads: int | None = Field(default=None, ge=1, le=65_536)
    """CPU threads torch may use; None leaves torch's own choice. Workers share the cores then."""

    workers: int = Field(default=1, ge=1, le=65_536)
    """How many candidates of a black-box search are evaluated at the same time, each in a process of its own;
    1 evaluates in the main process. The scores are the same as long as `threads` is."""

    backend: Literal["processes", "ray"] = "processes"
    """Where workers run: "processes" of this computer, or a "ray" cluster, which needs nasforge[ray]."""

    launcher: tuple[str, ...] = ()
    """Words before the command of each worker process, for a program that starts it elsewhere:
    ["srun", "--exclusive", "-n1", "--gpus=1"]. Each worker then takes the device that it sees."""

    start_limit: int = Field(default=600, ge=1)
    """Seconds in which workers of a `launcher` or of Ray must have started; the search continues without the
    others, and ends if there is none."""

    shards: int = Field(default=1, ge=1, le=65_536)
    """Equal parts of every training batch. Batch norms see one part, and gradients are the mean over all of
    them. Processes share the parts (`--processes`), whose number does not change the result; one process
    computes them one after the other, with the memory of one."""

    observers: tuple[str, ...] | None = None
    """Names of observers, such as ["progress", "jsonl"]; their options stand in [observers.NAME]. They never
    change a result. Not set: the command line shows progress, nasforge.run in Python nothing."""

    report: bool = True
    """Whether report.html is written into the folder at the end; `nasforge report` writes it at any time."""

    forecast: bool = True
    """Whether a run that shows its progress first estimates the time and memory of its stages, by timing a
    few batches of a copy. The result is the same either way."""

    def programs(self) -> Mapping[str, Any]:
        """Return the words before the commands of workers."""
        return {"launcher": list(self.launcher)} if self.launcher else {}

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str | None) -> str | None:
        if name is None:
            return name
        if not name.strip() or name.startswith(".") or re.search(r"[/\\\x00-\x1f\x7f]", name):
            raise ValueError("must be the name of a folder, without slashes and leading dots")
        if len(name.encode(errors="replace")) > LONGEST_NAME:
            raise ValueError(f"must have at most {LONGEST_NAME} bytes, as the name of a folder")
        return name

    @model_validator(mode="after")
    def _deterministic_runs_do_not_time(self) -> Self:
        if self.deterministic and self.cudnn_benchmark:
            raise ValueError("cudnn_benchmark = true chooses by time, which is not deterministic; drop one")
        return self

    @field_validator("device", mode="before")
    @classmethod
    def _device_is_one(cls, device: Any) -> Any:
        if isinstance(device, list) or (isinstance(device, str) and "," in device):
            raise ValueError(
                "must be one device: for several GPUs write 'cuda', show the process those it may use "
                "(CUDA_VISIBLE_DEVICES=0,2) and start a process for each (--processes 2)"
            )
        return device

    @field_validator("device")
    @classmethod
    def _device_has_a_form(cls, device: str) -> str:
        if not re.fullmatch(r"[a-z]+(:\d+)?", device):
            raise ValueError("must be 'auto', 'cpu', 'cuda', or 'cuda:' and a number")
        kind = device.partition(":")[0]
        if kind == "meta":
            raise ValueError("'meta' computes no numbers. Write 'auto', 'cpu', 'cuda' or 'cuda:<number>'")
        if kind not in DEVICES:
            raise ValueError(f"there is no device {kind!r}.{suggest(kind, DEVICES)}")
        return device
