"""Options of the model space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from nasforge.config import PluginConfig

__all__ = ["BlockRule", "ModelConfig", "is_file_name", "split_model"]

LIBRARIES = ("torchvision", "timm")
"""Libraries whose networks are named by ``model``; nothing else of them is called."""

SAMPLE = "nasforge_plugins.spaces.model.sample:SmallResNet"

PICKLES = ("cache_dir", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay")
"""Arguments by which timm reads a file of the recipe's choice, which may be a pickle."""

Kind = Literal["drop", "width", "kernel", "activation", "gate"]
Activation = Literal["relu", "relu6", "leaky_relu", "silu", "hardswish", "gelu", "mish"]
Modules = tuple[Annotated[str, Field(min_length=1)], ...]


class BlockRule(PluginConfig):
    """How the blocks of one class may change, for classes that torch.fx cannot trace.

    Modules are named as the block names them: ``"conv1"``, or ``"body.0"`` inside another module.
    """

    block: Annotated[str, Field(min_length=1)] = "Block"
    """Name of the class, such as "BasicBlock"."""

    drop: bool = False
    """Whether a block may be left out: it must return a map of the shape that it is given."""

    narrow: tuple[Modules, ...] = ()
    """Lists of modules, one per inner width: a convolution whose output channels may become fewer, the
    norms and depthwise convolutions that these channels pass, and the convolution that reads them."""

    kernels: Modules = ()
    """Convolutions that may have another kernel."""

    activations: Modules = ()
    """Activations that may be exchanged."""

    gate: str = ""
    """The norm or convolution behind which a squeeze-and-excitation gate may follow."""


class ModelConfig(PluginConfig):
    """The network to start from, and what may change in it."""

    model: str = "torchvision:resnet18"
    """The network: "torchvision:NAME", "timm:NAME", or a file or module and what makes the network there:
    "my_net.py:build", "package.module:Net". A file is found from the folder a command is started in, and is
    run: name only files that you trust."""

    arguments: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    """Arguments of the function or class, such as {num_classes = 10} or {weights = "DEFAULT"}."""

    weights: str = ""
    """Weights of the network: a safetensors file in the names of its own state_dict, or the folder of a
    finished run of this space in which the original was trained. Empty: as the network is made."""

    seed: int = 0
    """Seed under which the network is made, for those with random weights."""

    image_size: PositiveInt = 224
    """Side of the images, for commands that know no data."""

    options: tuple[Kind, ...] = Field(("drop", "width", "kernel"), min_length=1)
    """Allowed changes: "drop" leaves a residual block out, "width" keeps a share of the channels inside a
    block, "kernel" changes the side of a convolution inside a block, "activation" exchanges the activations
    of a block, "gate" adds a squeeze-and-excitation gate to its branch."""

    include: tuple[str, ...] = ("*",)
    """Patterns of the blocks and convolutions that may change, such as "layer4.*"; a pattern that matches a
    module counts for all inside it."""

    exclude: tuple[str, ...] = ()
    """Patterns of those that stay as they are."""

    widths: tuple[Annotated[int, Field(ge=1, le=99)], ...] = (75, 50)
    """Inner widths to choose from, in percent of the original, besides the original one."""

    divisor: PositiveInt = 8
    """Narrowed widths are rounded to a multiple of it."""

    kernels: tuple[PositiveInt, ...] = (1, 3)
    """Sides of kernels to choose from, besides the original one, where that is above 1; odd numbers."""

    activations: tuple[Activation, ...] = ("relu", "hardswish")
    """Activations to choose from, besides the original one."""

    rules: tuple[BlockRule, ...] = ()
    """How blocks of some classes may change, for classes that torch.fx cannot trace."""

    checksum: str = ""
    """SHA-256 of the model's file. A run notes it by itself, and refuses to resume with another file."""

    def programs(self) -> Mapping[str, Any]:
        """Return what makes the network, unless that is a library of networks, or the sample."""
        source, _ = split_model(self.model)
        if source in LIBRARIES or self.model == SAMPLE:
            return {}
        return {"model": [self.model, self.arguments, self.checksum]}

    @field_validator("model")
    @classmethod
    def _has_two_parts(cls, model: str) -> str:
        source, name = split_model(model)
        if not source or not name:
            raise ValueError(
                f'{model!r} names no network: write "torchvision:resnet18", "timm:NAME", "my_net.py:build" '
                'or "package.module:Net"'
            )
        return model

    @field_validator("kernels")
    @classmethod
    def _are_odd(cls, kernels: tuple[int, ...]) -> tuple[int, ...]:
        if even := [k for k in kernels if k % 2 == 0]:
            raise ValueError(f"kernels are odd, so that maps keep their size; got {even}")
        return kernels

    @model_validator(mode="after")
    def _reads_no_pickle(self) -> Self:
        source, _ = split_model(self.model)
        if source == "timm" and (found := sorted(self.arguments.keys() & set(PICKLES))):
            raise ValueError(
                f"arguments: {found[0]!r} lets timm read a file that may run code (pickle). Write weights = "
                '"FILE.safetensors" in [space] instead; a tag of timm\'s weights belongs to the name, such '
                'as "timm:resnet50.a1_in1k"'
            )
        return self

    @field_validator("options", "widths", "kernels", "activations")
    @classmethod
    def _are_distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError(f"each value is listed once; got {list(values)}")
        return values

    @model_validator(mode="after")
    def _notes_the_file(self) -> Self:
        source, _ = split_model(self.model)
        if not is_file_name(source):
            return self
        try:
            path = Path(source).expanduser()
            if path.exists() and not path.is_file():  # a device or a pipe may have no end
                raise OSError("it is not a file")
            content = path.read_bytes()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"model: cannot read {source!r} from {Path.cwd()} ({reason}): write its path from the folder "
                "in which you start nasforge"
            ) from None
        found = hashlib.sha256(content).hexdigest()
        if self.checksum not in ("", found):
            raise ValueError(
                f"model: {source!r} has been changed since the run began: put the earlier file back, or run "
                "the recipe again under another name"
            )
        object.__setattr__(self, "checksum", found)
        return self


def split_model(model: str) -> tuple[str, str]:
    """Return where a network comes from, and its name there."""
    source, _, name = model.rpartition(":")
    return source, name


def is_file_name(source: str) -> bool:
    """Return whether a source is a file rather than a module that can be imported."""
    return source.endswith(".py") or "/" in source or "\\" in source
