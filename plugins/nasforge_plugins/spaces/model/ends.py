"""The first and last layer of a model: what other images and classes exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.errors import RunError
from nasforge.space import Task

__all__ = ["Ends", "find_ends", "fit_to_task", "logits_of", "put", "replace_head"]


@dataclass(frozen=True)
class Ends:
    """The layers of a model that depend on its task.

    Attributes:
        stem: Name of the convolution that reads the images.
        in_channels: Channels of the images.
        head: Name of the layer that makes the logits.
        classes: Width of the logits.
    """

    stem: str
    in_channels: int
    head: str
    classes: int


def find_ends(model: nn.Module, image_size: int) -> Ends:
    """Return the layers of a model that depend on its task, by running it on a blank image.

    Args:
        model: On any device; the meta device is the fastest.
        image_size: Side of the image.

    Raises:
        RunError: It cannot be run, or is not a classifier of images.
    """
    called: list[str] = []
    names = {module: name for name, module in model.named_modules()}
    layers = [m for m in names if isinstance(m, nn.Conv2d | nn.Linear)]
    stem = next((m for m in layers if isinstance(m, nn.Conv2d)), None)
    if stem is None:
        raise RunError(f"space.model: {type(model).__name__} has no convolution. Name a network of images.")
    hooks = [m.register_forward_hook(lambda m, *_: called.append(names[m])) for m in layers]
    image = torch.zeros(1, stem.in_channels, image_size, image_size, device=stem.weight.device)
    training = model.training
    try:
        with torch.no_grad():
            logits = logits_of(model.eval()(image))
    except Exception as error:  # the model's own code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = f"Set space.image_size to one that it takes, if {image_size} is not."
        if stem.weight.device.type == "meta" and "meta tensors" in reason:
            advice = "Its forward pass must not depend on the numbers in its images, or costs are unknown."
        raise RunError(
            f"space.model: {type(model).__name__} cannot be run on an image of {stem.in_channels} x "
            f"{image_size} x {image_size} ({reason.rstrip('.')}). {advice}"
        ) from None
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        raise RunError(
            f"space.model: {type(model).__name__} returns {_shape(logits)}, and a classifier returns logits "
            "of shape (images, classes). Name a network that does, or wrap it in one."
        )
    head = model.get_submodule(called[-1])
    width = head.out_features if isinstance(head, nn.Linear) else getattr(head, "out_channels", None)
    if width != logits.shape[1]:
        raise RunError(
            f"space.model: the last layer of {type(model).__name__}, {called[-1]!r}, has {width} outputs, "
            f"and the model {logits.shape[1]}. Its last layer must make the logits."
        )
    return Ends(called[0], stem.in_channels, called[-1], int(logits.shape[1]))


def fit_to_task(model: nn.Module, ends: Ends, task: Task) -> None:
    """Give a model another first or last layer where images or classes differ.

    A first layer for gray images sums its weights over the channels; for other numbers of channels it repeats
    them, scaled so that maps keep their size. A last layer starts anew.

    Args:
        model: Is changed.
        ends: Its first and last layer.
        task: Input and output sizes.
    """
    if task.in_channels != ends.in_channels:
        stem = model.get_submodule(ends.stem)
        assert isinstance(stem, nn.Conv2d)
        put(model, ends.stem, _read_channels(stem, task.in_channels))
    if task.num_classes != ends.classes:
        replace_head(model, ends, task.num_classes)


def replace_head(model: nn.Module, ends: Ends, classes: int) -> None:
    """Give a model a new last layer.

    Args:
        model: Is changed.
        ends: Its first and last layer.
        classes: Width of the logits.
    """
    put(model, ends.head, _classify(model.get_submodule(ends.head), classes))


def logits_of(result: Any) -> Any:
    """Return the logits of what a model returned: itself, its ``logits``, or the first of several."""
    if isinstance(result, Tensor):
        return result
    if isinstance(result, Mapping) and "logits" in result:
        return result["logits"]
    if hasattr(result, "logits"):
        return result.logits
    return logits_of(result[0]) if isinstance(result, list | tuple) and result else result


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Exchange a submodule."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


@torch.no_grad()
def _read_channels(stem: nn.Conv2d, channels: int) -> nn.Conv2d:
    if stem.groups != 1:
        raise RunError(
            f"space.model: the first convolution reads {stem.in_channels} channels in {stem.groups} groups, "
            f"and the images have {channels}. Set data.channels, or change the model."
        )
    weight = stem.weight.detach()
    if channels == 1:
        weight = weight.sum(1, keepdim=True)
    else:
        which = torch.arange(channels, device=weight.device) % stem.in_channels
        weight = weight[:, which] * (stem.in_channels / channels)
    new = nn.Conv2d(
        channels,
        stem.out_channels,
        stem.kernel_size,  # type: ignore[arg-type]
        stem.stride,  # type: ignore[arg-type]
        stem.padding,  # type: ignore[arg-type]
        stem.dilation,  # type: ignore[arg-type]
        bias=stem.bias is not None,
        padding_mode=stem.padding_mode,
    )
    new.weight = nn.Parameter(weight.clone())
    if stem.bias is not None:
        new.bias = nn.Parameter(stem.bias.detach().clone())
    return new


def _classify(head: nn.Module, classes: int) -> nn.Module:
    if isinstance(head, nn.Linear):
        return nn.Linear(head.in_features, classes, head.bias is not None)
    assert isinstance(head, nn.Conv2d)
    return nn.Conv2d(head.in_channels, classes, head.kernel_size, bias=head.bias is not None)  # type: ignore[arg-type]


def _shape(found: object) -> str:
    return f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
