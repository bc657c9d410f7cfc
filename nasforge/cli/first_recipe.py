"""A first recipe for a user's own images: inspects them and chooses sizes that run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nasforge.errors import ArchError, DataError
from nasforge.recipe.toml_text import to_toml
from nasforge.space import NetworkSpace, Task

__all__ = ["Budget", "FoundImages", "fitting_width", "look_at_images", "recipe_text"]

Budget = Literal["smoke", "minutes", "full"]

BASES: dict[str, str] = {"smoke": "quickstart", "minutes": "quickstart", "full": "cdarts_cifar10"}
"""The shipped recipe that a budget starts from."""

SIDES = (16, 32, 48, 64, 96, 128)
LARGEST_SIDE = {"smoke": 16, "minutes": 32, "full": 128}
HALVED_FROM = 96
"""Images of this side or more get a stem that makes them smaller at once."""

SAMPLE = 200
"""How many image files are opened to learn their size."""


@dataclass(frozen=True)
class FoundImages:
    """Contents of a folder of images.

    Attributes:
        root: The folder that holds ``train``, as a whole path.
        classes: Names of the classes.
        train: Number of training images.
        test: Number of images in the folder ``test`` or ``val``; 0 if there is none.
        held_out: Name of that folder; empty if there is none.
        side: Median of the shorter sides, in pixels.
    """

    root: Path
    classes: tuple[str, ...]
    train: int
    test: int
    held_out: str
    side: int


def look_at_images(path: Path) -> FoundImages:
    """Find classes, numbers and sizes; opens some of the files and reads no pixels.

    Args:
        path: Folder with ``train/<class>/*.jpg`` and, if there are test images, ``test/`` or ``val/`` alike.

    Raises:
        DataError: The folder is laid out differently, or holds too few images.
    """
    from nasforge.images.files import compare_classes, list_folder

    where = f"--images {path}"
    root = path.expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"{where}: there is no such folder.")
    if root.name == "train" and not (root / "train").is_dir():
        root = root.parent
    if not (root / "train").is_dir():
        raise DataError(
            f"{where}: has no folder 'train'. Lay the images out as train/<class>/*.jpg and "
            "test/<class>/*.jpg; without 'test' a fifth of the training images is held out."
        )
    train = list_folder(root / "train", where)
    held_out = next((name for name in ("test", "val") if (root / name).is_dir()), "")
    test = 0
    if held_out:
        folder = list_folder(root / held_out, where)
        compare_classes(train, folder, where)
        test = len(folder.files)
    count = len(train.files) - (0 if held_out else round(len(train.files) / 5))
    if count < 4 * len(train.classes):
        raise DataError(
            f"{where}: {len(train.files)} training images in {len(train.classes)} classes are too few to "
            "search with. Collect five of every class, at least."
        )
    step = -(-len(train.files) // SAMPLE)
    side = _median_side([train.path / file for file in train.files[::step]], where)
    return FoundImages(root, train.classes, len(train.files), test, held_out, side)


def _median_side(files: Sequence[Path], where: str) -> int:
    from PIL import Image

    sides = []
    for file in files:
        try:
            with Image.open(file) as image:
                sides.append(min(image.size))
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(
                f"{where}: image '{file}' cannot be read ({error}). Replace it or remove it."
            ) from None
    return sorted(sides)[len(sides) // 2]


def recipe_text(
    name: str,
    budget: Budget,
    images: FoundImages | None = None,
    device: str | None = None,
    width: tuple[int, str] | None = None,
) -> str:
    """Write a recipe.

    Args:
        name: Names the run's folder.
        budget: ``"smoke"`` shows that everything works, ``"minutes"`` is a first search, ``"full"`` has the
            published settings.
        images: The user's images; None takes those of the base recipe.
        device: Where to compute; None leaves it to the run.
        width: Channels of the final network, and a remark about them.
    """
    tables: dict[str, list[tuple[str, Any, str]]] = {"run": [("name", name, "")]}
    if device:
        tables["run"].append(("device", device, ""))
    smoke_data: list[tuple[str, Any, str]] = []
    if images:
        tables["data"], batch = _data(images, budget)
        tables["space"] = (
            [("stem", "imagenet", "halves the image three times")] if _large(images, budget) else []
        )
        tables["train"] = [("batch_size", batch, "")]
        smoke_data = _small_data(images, budget)
    if width:
        tables.setdefault("space", []).append(("channels", *width))
        tables["profiles.smoke.space"] = [("channels", min(width[0], 8), "")]
    if budget == "smoke":
        tables["searcher"] = [("iterations", 2, "")]
        tables.setdefault("train", []).append(("epochs", 2, ""))
    if smoke_data:
        tables["profiles.smoke.data"] = smoke_data
        tables["profiles.smoke.train"] = [("batch_size", smoke_data[-1][1], "")]
    lines = [
        "# Written by nasforge init, to be changed. What options mean: nasforge plugins show NAME.",
        "# Try it in small first: nasforge run FILE --profile smoke",
        "",
        f'extends = "{BASES[budget]}"      # see it: nasforge recipes show {BASES[budget]}',
    ]
    for table, options in tables.items():
        if options:
            lines += ["", f"[{table}]", *(_line(*option) for option in options)]
    return "\n".join(lines) + "\n"


def _data(images: FoundImages, budget: Budget) -> tuple[list[tuple[str, Any, str]], int]:
    side = _side(images, budget)
    limit = {"smoke": 400, "minutes": 4000, "full": images.train}[budget]
    limit = max(limit, 8 * len(images.classes))
    available = images.train if images.held_out else images.train - round(images.train / 5)
    batch = _batch(min(limit, available), 64 if budget == "full" else 32)
    about = f"{images.train:,} training images in {len(images.classes)} classes"
    options: list[tuple[str, Any, str]] = []
    if images.held_out == "val":
        options += [
            ("use", "imagenet", "train/ and val/, decoded while training"),
            ("root", str(images.root), about),
            ("image_size", side, f"the images have about {images.side} pixels"),
            ("resize_size", -(-side * 8 // 7), ""),
        ]
    else:
        options += [
            ("use", "image-folder", ""),
            ("root", str(images.root), about),
            ("image_size", side, f"the images have about {images.side} pixels; smaller is faster"),
        ]
        if not images.held_out:
            options.append(("test_share", 0.2, "there is no folder 'test'"))
    if limit < available:
        options.append(("limit_train", limit, "remove this to use all"))
    return [*options, ("batch_size", batch, "")], batch


def _small_data(images: FoundImages, budget: Budget) -> list[tuple[str, Any, str]]:
    available = images.train if images.held_out else images.train - round(images.train / 5)
    small = min(max(160, 8 * len(images.classes)), available)
    test = max(40, len(images.classes))
    held_out = images.test or images.train - available
    side = 64 if _large(images, budget) else 16
    sizes: list[tuple[str, Any, str]] = [("image_size", side, "")]
    if images.held_out == "val":
        sizes.append(("resize_size", -(-side * 8 // 7), ""))
    limits = [("limit_train", small, ""), ("limit_test", min(test, held_out), "")]
    return [*sizes, *limits, ("batch_size", _batch(small, 16), "")]


def _side(images: FoundImages, budget: Budget) -> int:
    largest = min(images.side, LARGEST_SIDE[budget])
    return max((side for side in SIDES if side <= largest), default=SIDES[0])


def _large(images: FoundImages, budget: Budget) -> bool:
    return _side(images, budget) >= HALVED_FROM


def _batch(images: int, largest: int) -> int:
    """Return a power of two of which each half of the images gives two batches."""
    batch = largest
    while batch > 1 and batch * 4 > images:
        batch //= 2
    return batch


def _line(name: str, value: Any, remark: str) -> str:
    line = f"{name} = {to_toml(value)}"
    return f"{line:<26} # {remark}" if remark else line


def fitting_width(
    make: Callable[[int], Any], widths: Sequence[int], task: Task, max_params: int
) -> tuple[int, int] | None:
    """Find the widest network of a space whose heaviest architecture is not above a number of parameters.

    The heaviest is taken to be the one that has the same operation wherever it can.

    Args:
        make: Makes the space of a width.
        widths: Widths to choose from, ascending.
        task: Input and output sizes.
        max_params: The limit.

    Returns:
        The width and the parameters of its heaviest architecture; None if even the narrowest is too large.

    Raises:
        ArchError: The space builds no networks.
    """
    import torch

    from nasforge.cost import count_parameters

    def heaviest(space: NetworkSpace[Any], options: Sequence[str]) -> tuple[int, str]:
        found = []
        for option in options:
            weights = {c.name: [float(name == option) for name in c.options] for c in space.choices}
            with torch.device("meta"):
                found.append((count_parameters(space.build(task, space.discretize(weights))), option))
        return max(found)

    narrowest = make(widths[0])
    if not isinstance(narrowest, NetworkSpace):
        raise ArchError("--max-params: the space of this recipe builds no networks to count.")
    names = sorted({name for c in narrowest.choices if c.kind == "op" for name in c.options})
    smallest, option = heaviest(narrowest, names)
    if smallest > max_params:
        return None
    best, low, high = (widths[0], smallest), 1, len(widths)
    while low < high:
        middle = (low + high) // 2
        params, _ = heaviest(make(widths[middle]), [option])
        if params <= max_params:
            best, low = (widths[middle], params), middle + 1
        else:
            high = middle
    return best
