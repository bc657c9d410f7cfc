"""Weights for the original: a safetensors file, or a finished run in which it was trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nasforge.errors import CheckpointError, RunError, suggest
from nasforge_plugins.spaces.model.ends import Ends, replace_head

__all__ = ["load_weights", "original_name"]

TRAINED = Path("train", "weights.safetensors")
PLACES = re.compile(r"\.body(?:\.options\.[^.]+)?\.block(?=\.)|\.options\.[^.]+(?=\.)|\.gated(?=\.)")


def original_name(name: str) -> str:
    """Return what the model calls a tensor of its network.

    Args:
        name: As the network of the original calls it, such as
            ``model.layer1.0.body.options.full.block.conv1.options.k3.weight``.
    """
    return PLACES.sub("", name.removeprefix("model."))


def load_weights(model: nn.Module, source: str, ends: Ends) -> None:
    """Load weights into a model, whose last layer becomes that of the weights.

    Args:
        model: Is changed.
        source: A safetensors file in the model's own names, or the folder of a run.
        ends: First and last layer of the model.

    Raises:
        RunError: There is no such file, or it is about another network.
        CheckpointError: It cannot be read.
    """
    path = Path(source).expanduser()
    is_run = path.is_dir()
    path = path / TRAINED if is_run else path
    if not path.is_file():
        what = "holds no trained network: finish its train stage" if is_run else "is no file"
        raise RunError(f"space.weights: {source!r} {what}. Write a safetensors file, or the folder of a run.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"space.weights: {path} cannot be read ({error}). Write a safetensors file: "
            "safetensors.torch.save_file(model.state_dict(), …)."
        ) from None
    if is_run:
        tensors = {original_name(name): tensor for name, tensor in tensors.items()}
    head = tensors.get(f"{ends.head}.weight")
    if head is not None and len(head) != ends.classes:
        replace_head(model, ends, len(head))
    _check(model, source, tensors)
    model.load_state_dict(tensors)


def _check(model: nn.Module, source: str, tensors: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    problems = [f"{name!r} is missing." for name in own if name not in tensors]
    problems += [f"{name!r} is not in the model.{_near(name, own)}" for name in tensors if name not in own]
    problems += [
        f"{name!r} is {tuple(tensors[name].shape)}, in the model {tuple(tensor.shape)}."
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if problems:
        more = f" And {len(problems) - 3} more." if len(problems) > 3 else ""
        raise RunError(
            f"space.weights: {source!r} does not fit {type(model).__name__}: {' '.join(problems[:3])}{more} "
            "Use weights of the same network; of a run, one whose architecture was 'original'."
        )


def _near(name: str, known: Mapping[str, Tensor]) -> str:
    hint = suggest(name, known)
    return hint if "mean" in hint else ""
