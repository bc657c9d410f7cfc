"""Runtime of a run: device, precision and memory layout."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import nn

from nasforge.errors import RunError
from nasforge.nn import Network
from nasforge.nn.depthwise import DepthwiseLayout, lay_out_depthwise
from nasforge.runtime.allocator import keep_freed_memory
from nasforge.runtime.graphs import Graphs
from nasforge.runtime.layout import choose_layout
from nasforge.runtime.settings import DeviceSettings
from nasforge.runtime.shards import Shards
from nasforge.runtime.transfer import send

if TYPE_CHECKING:
    from nasforge.recipe import RunConfig
    from nasforge.runtime.distributed import ProcessGroup

__all__ = ["Precision", "Runtime"]

M = TypeVar("M", bound=nn.Module)
Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
KINDS = 256
"""How many kinds of blocks of one class are compiled; in training and in test they are two."""


@dataclass(frozen=True)
class Runtime:
    """Device, precision and layout of one run.

    Attributes:
        device: Where networks and small image sets live.
        precision: ``"bf16"`` and ``"fp16"`` run networks under autocast; losses and option weights stay
            float32. Gradients of ``"fp16"`` need a scaled loss, see `nasforge.training.loss_scale`.
        channels_last: Keep feature maps as NHWC, which CPU and GPU convolutions prefer.
        gradient_checkpointing: Networks keep the inputs of their blocks only, and compute blocks twice.
        compile: Trainings compile the blocks of their network.
        depthwise: Layout in which an accelerator computes depthwise convolutions.
        graphs: Training steps that are captured as CUDA graphs.
        shards: Parts of every training batch, and the processes that compute them.
    """

    device: torch.device
    precision: Precision = "fp32"
    channels_last: bool = True
    gradient_checkpointing: bool = False
    compile: bool = False
    depthwise: DepthwiseLayout = "channels_last"
    graphs: Graphs = field(default_factory=Graphs, compare=False)
    shards: Shards = field(default_factory=Shards, compare=False)

    @classmethod
    def create(
        cls,
        device: str = "auto",
        precision: Precision = "fp32",
        channels_last: bool = True,
        gradient_checkpointing: bool = False,
        compile: bool | Literal["auto"] = False,  # noqa: A002 - what the recipe calls it
    ) -> Runtime:
        """Choose the device and check that it is there.

        Args:
            device: ``"auto"`` (CUDA, then Apple's MPS, then CPU), or a torch device such as ``"cuda:1"``.
            precision: See the class.
            channels_last: See the class.
            gradient_checkpointing: See the class.
            compile: See the class; ``"auto"`` is where it was measured to pay, which is nowhere yet.

        Raises:
            RunError: The device is unknown or missing.
        """
        if device == "auto":
            mps = torch.backends.mps.is_available()
            device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
        try:
            chosen = torch.device(device)
            if chosen.type == "meta":
                raise RuntimeError("it computes no numbers")
            torch.empty(1, device=chosen)
        except (RuntimeError, AssertionError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(
                f"run.device: {device!r} cannot be used: {reason.rstrip('.')}. "
                "Write 'auto', 'cpu', 'cuda' or 'cuda:<number>'."
            ) from None
        if chosen.type == "cpu":
            keep_freed_memory()
        return cls(chosen, precision, channels_last, gradient_checkpointing, compile is True)

    @classmethod
    def of(cls, options: RunConfig, device: str | None = None, group: ProcessGroup | None = None) -> Runtime:
        """Return what the ``[run]`` table of a recipe says, and set torch up for its GPU.

        Args:
            options: The table.
            device: Over the table's.
            group: The processes that share the run; None for one.

        Raises:
            RunError: The device is unknown or missing.
        """
        runtime = cls.create(
            device or options.device,
            options.precision,
            options.channels_last,
            options.gradient_checkpointing,
            options.compile,
        )
        DeviceSettings.of(options).apply(runtime.device)
        shards = Shards(options.shards, group)
        return replace(
            runtime,
            depthwise=runtime._find_depthwise(options, shards),
            graphs=Graphs.of(options.graphs, runtime.device),
            shards=shards,
        )

    def prepare(self, module: M) -> M:
        """Move a module to the device and layout; parameter names stay as they are."""
        module = module.to(self.device)
        self.shards.watch(module)
        if self.gradient_checkpointing and isinstance(module, Network):
            module.recompute = True
            _want_blocks(module, "gradient_checkpointing", "recompute, so it saves no memory")
        if not self.channels_last:
            return module
        module = module.to(memory_format=torch.channels_last)
        lay_out_depthwise(module, self.device, self.depthwise)
        return module

    def _find_depthwise(self, options: RunConfig, shards: Shards) -> DepthwiseLayout:
        if not self.channels_last or self.device.type == "cpu" or options.depthwise_layout == "channels_last":
            return "channels_last"
        if options.depthwise_layout == "contiguous":
            return "contiguous"
        # Processes on equal GPUs may measure differently, but must compute alike.
        found: DepthwiseLayout = shards.agreed(choose_layout(self.device, DTYPES[self.precision]))
        return found

    def prepare_training(self, module: M) -> M:
        """Prepare a network that has one architecture and is trained for long; see `prepare`."""
        module = self.prepare(module)
        if self.compile and isinstance(module, Network):
            module.compiles = module.plain = True
            # Every kind of block is another version of the same function to torch, which stops at eight.
            torch._dynamo.config.recompile_limit = max(KINDS, torch._dynamo.config.recompile_limit)
            _want_blocks(module, "compile", "compile, so nothing is")
        return module

    def prepare_images(self, images: torch.Tensor) -> torch.Tensor:
        """Move a batch ``(B, C, H, W)`` to the device and layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return send(images, self.device).contiguous(memory_format=layout)

    def steady(
        self, step: Callable[..., Mapping[str, torch.Tensor]], refresh: Callable[[], None] = lambda: None
    ) -> Callable[..., Mapping[str, torch.Tensor]]:
        """Return a training step that is captured as a CUDA graph if the recipe asks for it.

        Args:
            step: Trains on a batch, with an `nasforge.training.update.Update`; see `Graphs.steady`.
            refresh: Called before each step; fills the tensors of numbers that change.
        """
        return self.graphs.steady(step, refresh)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context that networks run in."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision])


def _want_blocks(network: Network, option: str, so: str) -> None:
    if not network.has_blocks:
        warnings.warn(
            f"run.{option}: {type(network).__name__} has no blocks to {so}. Its author can run them with "
            "Network.run_block.",
            stacklevel=3,
        )
