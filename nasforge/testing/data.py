"""Checks of data modules."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from nasforge.data import DataModule, Split
from nasforge.errors import AccessError, DataError
from nasforge.runs.scope import SEARCH
from nasforge.testing.common import Rule, Subject, require, scratch
from nasforge.testing.workbench import Workbench

__all__ = ["CHECKS"]

OPTIONAL: Split = "holdout"
SPLITS: tuple[Split, ...] = tuple(split for split in get_args(Split) if split != OPTIONAL)
SHARED = 0.05
"""Share of equal images that two splits may have: real data sets hold a few pictures twice."""


def batches_fit_the_task(subject: Subject) -> None:
    """Images are finite float tensors and labels whole numbers, as ``task`` says."""
    for data, split in _filled(subject):
        task, where = data.task, f"split {split!r}"
        shape = (task.in_channels, task.image_size, task.image_size)
        for augment in (True, False):
            for images, labels in data.batches(split, augment=augment):
                require(
                    images.dtype == torch.float32 and bool(images.isfinite().all()),
                    f"{where}: images must be finite float32 tensors, got {images.dtype}.",
                )
                require(
                    tuple(images.shape[1:]) == shape,
                    f"{where}: images are {tuple(images.shape[1:])}, but task says {shape}.",
                )
                require(
                    labels.dtype == torch.int64 and labels.shape == images.shape[:1],
                    f"{where}: labels are int64, one per image; got {labels.dtype} {tuple(labels.shape)}.",
                )
                require(
                    int(labels.min()) >= 0 and int(labels.max()) < task.num_classes,
                    f"{where}: labels go from {int(labels.min())} to {int(labels.max())}, but task says "
                    f"{task.num_classes} classes.",
                )


def order_is_a_function_of_seed_split_epoch(subject: Subject) -> None:
    """The same seed, split and epoch give the same batches, in any process and after any other reading."""
    first, second = _data(subject), _data(subject)
    for split in _present(first):
        random.seed()
        torch.seed()
        a = _read(first, split, epoch=1)
        next(iter(second.batches(split, epoch=0)))  # another pass, left half way
        b = _read(second, split, epoch=1)
        require(
            len(a) == len(b)
            and all(torch.equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)),
            f"split {split!r}: two passes of epoch 1 under one seed differ. Order and augmentation come from "
            "a generator seeded with derive_seed(seed, …, split, epoch); a resumed run sees others.",
        )


def epochs_differ(subject: Subject) -> None:
    """Every training epoch has its own order, and every seed too."""
    data, other = _data(subject), _data(subject, seed=1)
    for split in ("weights", "arch"):
        if split not in _present(data) or data.sizes()[split] < 4:
            continue
        zero = _read(data, split, epoch=0)
        for what, pass_ in (("epoch", _read(data, split, epoch=1)), ("seed", _read(other, split, epoch=0))):
            require(
                any(not torch.equal(x, y) for (x, _), (y, _) in zip(zero, pass_, strict=False)),
                f"split {split!r}: another {what} gives the same batches; training passes are shuffled by "
                "seed, split and epoch.",
            )


def plain_passes_are_plain(subject: Subject) -> None:
    """Without augmentation, every epoch gives the same images in the same order."""
    for data, split in _filled(subject):
        a, b = (_read(data, split, epoch=epoch, augment=False) for epoch in (0, 3))
        same = len(a) == len(b) and all(torch.equal(x, y) for (x, _), (y, _) in zip(a, b, strict=True))
        require(same, f"split {split!r}: with augment=False the images depend on the epoch.")


def sizes_are_true(subject: Subject) -> None:
    """``sizes``, ``class_counts`` and ``num_batches`` count what a pass gives; plain passes are whole."""
    data = _data(subject)
    require(
        set(data.sizes()) - {OPTIONAL} == set(SPLITS),
        f"sizes() must name the splits {SPLITS}, got {tuple(data.sizes())}.",
    )
    for split in _present(data):
        size = data.sizes()[split]
        labels = torch.cat([labels for _, labels in _read(data, split, augment=False)])
        counted = tuple(torch.bincount(labels, minlength=data.task.num_classes).tolist())
        require(
            tuple(data.class_counts(split)) == counted,
            f"split {split!r}: class_counts() says {tuple(data.class_counts(split))}, a pass has {counted}.",
        )
        for augment in (True, False):
            batches = _read(data, split, augment=augment)
            images = sum(len(labels) for _, labels in batches)
            require(
                images == size if not augment else 0 < images <= size,
                f"split {split!r}: a pass with augment={augment} gives {images} images, sizes() says {size}.",
            )
            if augment == (split != "test"):  # the test split is never trained on
                stated = data.num_batches(split)
                require(
                    stated == len(batches),
                    f"split {split!r}: num_batches() says {stated}, a pass has {len(batches)}.",
                )


def splits_are_disjoint(subject: Subject) -> None:
    """No image is in two of ``weights``, ``arch``, ``select``, ``test``; ``full`` is all but the test."""
    data = _data(subject)
    content = {split: _pictures(data, split) for split in _present(data)}
    parts = [s for s in ("weights", "arch", "select", "test", OPTIONAL) if s in content]
    for i, one in enumerate(parts):
        for two in parts[i + 1 :]:
            shared = sum((content[one] & content[two]).values())
            limit = SHARED * min(content[one].total(), content[two].total())
            require(
                shared <= limit,
                f"splits {one!r} and {two!r} share {shared} images. No image may be trained on and scored.",
            )
    if "full" in content:
        together = sum((content[s] for s in parts if s not in ("test", OPTIONAL)), Counter[bytes]())
        require(
            together == content["full"],
            f"'full' has {content['full'].total()} images, 'weights', 'arch' and 'select' have "
            f"{together.total()} together, and they must be the same ones.",
        )


def stages_limit_what_is_read(subject: Subject) -> None:
    """A module that a searcher makes itself, and sets up with its own context, has no test images."""
    with scratch() as folder:
        data: DataModule[Any] = subject.make()
        bench = Workbench(subject, Path(folder))
        data.setup(bench.context(SEARCH, data=None, splits=SEARCH.reads))
        for split in _present(data):
            try:
                next(iter(data.batches(split, augment=False)))
                given = True
            except AccessError:
                given = False
            require(
                given or split not in SEARCH.reads,
                f"split {split!r} is refused in a search, which may read it.",
            )
            require(
                not given or split in SEARCH.reads,
                f"split {split!r} can be read in a search. Call super().setup(ctx) in setup(), so that the "
                "module knows the splits of its stage.",
            )


def labels_belong_to_images(subject: Subject) -> None:
    """An image has the same label in every split and batch size."""
    data = _data(subject)
    if "full" not in _present(data):
        return
    known = {x.numpy().tobytes(): int(y) for x, y in _pairs(data, "full")}
    for split in (s for s in ("weights", "arch", "select") if s in _present(data)):
        wrong = sum(
            known.get(x.numpy().tobytes(), int(y)) != int(y) for x, y in _pairs(data, split, batch_size=1)
        )
        limit = SHARED * data.sizes()[split]
        require(wrong <= limit, f"split {split!r}: {wrong} images have another label than in 'full'.")


def batch_size_is_respected(subject: Subject) -> None:
    """A batch size may be asked for; one larger than the split is refused."""
    for data, split in _filled(subject):
        images, _ = next(iter(data.batches(split, batch_size=1)))
        require(len(images) == 1, f"split {split!r}: batch_size=1 gives batches of {len(images)}.")
        size = data.sizes()[split]
        for augment in (True, False):
            require(
                data.num_batches(split, batch_size=1) == size,
                f"split {split!r}: num_batches(batch_size=1) is {data.num_batches(split, batch_size=1)} for "
                f"{size} images.",
            )
            try:
                given = sum(
                    len(labels) for _, labels in data.batches(split, augment=augment, batch_size=size + 1)
                )
            except DataError as error:
                require(str(error), "a refused batch size needs a message.")
            else:
                require(
                    not augment and given == size,
                    f"split {split!r}: a batch of {size + 1} from {size} gives {given}. Raise DataError.",
                )


def classes_have_names(subject: Subject) -> None:
    """Every class has a name of its own."""
    data = _data(subject)
    names, count = data.class_names, data.task.num_classes
    require(
        isinstance(names, tuple) and all(isinstance(name, str) and name for name in names),
        f"class_names must be a tuple of texts, got {names!r}.",
    )
    require(len(names) == count, f"class_names has {len(names)} names, task says {count} classes.")
    require(len(set(names)) == count, f"class_names has a name twice: {names!r}.")


def preprocessing_is_true(subject: Subject) -> None:
    """``preprocessing`` describes plain images: from their bytes it makes the same numbers again."""
    for data, split in _filled(subject):
        described, task = data.preprocessing, data.task
        if described is None:
            return
        require(
            described.size == (task.image_size,) * 2 and len(described.mean) == task.in_channels,
            f"preprocessing gives {len(described.mean)} channels of {described.size} pixels, task says "
            f"{task.in_channels} of {(task.image_size,) * 2}.",
        )
        require(
            type(described).from_json(json.loads(json.dumps(described.to_json()))) == described,
            "preprocessing is not the same after to_json and from_json. Use plain numbers and tuples.",
        )
        mean, deviation = (torch.tensor(v).view(-1, 1, 1) for v in (described.mean, described.deviation))
        for images, _ in data.batches(split, augment=False):
            levels = (images.cpu() * deviation + mean) * 255
            pixels = levels.round().clamp(0, 255).to(torch.uint8)
            difference = (described.apply(pixels) - images.cpu()).abs().max().item()
            require(
                difference <= 1e-5,
                f"split {split!r}: preprocessing.apply makes other numbers of the bytes of a plain image: "
                f"the largest difference is {difference:.2g}. Use preprocessing.apply in batches, too.",
            )


CHECKS: tuple[Rule, ...] = (
    batches_fit_the_task,
    order_is_a_function_of_seed_split_epoch,
    epochs_differ,
    plain_passes_are_plain,
    sizes_are_true,
    splits_are_disjoint,
    stages_limit_what_is_read,
    labels_belong_to_images,
    batch_size_is_respected,
    classes_have_names,
    preprocessing_is_true,
)


def _data(subject: Subject, seed: int = 0) -> DataModule[Any]:
    with scratch() as folder:
        data: DataModule[Any] = subject.make()
        data.setup(Workbench(subject, Path(folder), seed).context(SEARCH, data=None))
        return data


def _present(data: DataModule[Any]) -> list[Split]:
    return [split for split in (*SPLITS, OPTIONAL) if data.sizes().get(split)]


def _filled(subject: Subject) -> list[tuple[DataModule[Any], Split]]:
    data = _data(subject)
    return [(data, split) for split in _present(data)]


def _read(data: DataModule[Any], split: Split, **how: Any) -> list[tuple[Tensor, Tensor]]:
    return [(images.clone(), labels.clone()) for images, labels in data.batches(split, **how)]


def _pairs(data: DataModule[Any], split: Split, batch_size: int | None = None) -> list[tuple[Tensor, Tensor]]:
    plain = _read(data, split, augment=False, batch_size=batch_size)
    return [(x.contiguous(), y) for images, labels in plain for x, y in zip(images, labels, strict=True)]


def _pictures(data: DataModule[Any], split: Split) -> Counter[bytes]:
    return Counter(x.numpy().tobytes() for x, _ in _pairs(data, split))
