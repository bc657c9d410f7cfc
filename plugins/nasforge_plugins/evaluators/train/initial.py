"""Initial weights of a training, taken from the trained network of another run."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from nasforge.component import Context
from nasforge.errors import RunError
from nasforge.nn import Network
from nasforge.space import Task

__all__ = ["load_initial"]


def load_initial(network: Network, folder: str, ctx: Context, task: Task) -> None:
    """Copy the weights of a finished run into a network.

    Where the run had another number of classes, the tensors with a row per class keep their initial values in
    ``network``, with a warning that names them.

    Args:
        network: Receives the weights; of the same architecture.
        folder: The run folder.
        ctx: Loads the network of the run.
        task: Input and output sizes of ``network``.

    Raises:
        RunError: The folder holds no trained network, or one of another architecture or other channels.
    """
    try:
        source = ctx.load_network(folder)
    except RunError as error:
        raise RunError(f"init: {error}") from None
    given, own = source.state_dict(), network.state_dict()
    if given.keys() != own.keys():
        raise RunError(
            f"init: {folder!r} trained another architecture: {_unshared(given, own)}. Take a run of the same "
            "space with the same [space] options, and its architecture with searcher.use = 'fixed'."
        )
    other = [name for name in own if given[name].shape != own[name].shape]
    classifier = []
    if other:
        _check_channels(source, folder, task)
        classes = _count_classes(source, task)
        classifier = [name for name in other if _per_class(given[name], own[name], classes, task.num_classes)]
    if rest := [name for name in other if name not in classifier]:
        shapes = [" x ".join(map(str, tensors[rest[0]].shape)) for tensors in (given, own)]
        raise RunError(
            f"init: {folder!r} trained a network of other sizes: {rest[0]!r} is {shapes[0]} there and "
            f"{shapes[1]} here ({len(rest)} tensors differ). Take over the [space] options of that run."
        )
    network.load_state_dict({**own, **{n: t for n, t in given.items() if n not in classifier}})
    if classifier:
        warnings.warn(
            f"train.init: {folder!r} knows {classes} classes, the images have {task.num_classes}. The "
            f"classifier ({', '.join(classifier)}) starts anew, all other weights are taken over.",
            stacklevel=2,
        )


def _unshared(given: dict[str, Tensor], own: dict[str, Tensor]) -> str:
    alone = [n for n in given if n not in own]
    lacks = [n for n in own if n not in given]
    parts = [f"it has {alone[0]!r}" if alone else "", f"it lacks {lacks[0]!r}" if lacks else ""]
    return f"{' and '.join(part for part in parts if part)} ({len(alone) + len(lacks)} tensors differ)"


def _per_class(given: Tensor, own: Tensor, classes: int, wanted: int) -> bool:
    return (
        given.dim() == own.dim() > 0
        and given.shape[1:] == own.shape[1:]
        and (len(given), len(own)) == (classes, wanted)
    )


def _check_channels(source: Network, folder: str, task: Task) -> None:
    first = next((p for p in source.parameters() if p.dim() == 4), None)
    if first is not None and first.shape[1] != task.in_channels:
        raise RunError(
            f"init: {folder!r} reads images of {first.shape[1]} channel(s), these images have "
            f"{task.in_channels}. Take a run with images of {task.in_channels} channel(s), or change "
            "data.channels."
        )


@torch.no_grad()
def _count_classes(source: Network, task: Task) -> int:
    training = source.training
    image = torch.zeros(1, task.in_channels, task.image_size, task.image_size)
    classes = source.eval()(image).logits.shape[1]
    source.train(training)
    return int(classes)
