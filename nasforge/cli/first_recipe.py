"""The text of a first recipe: base recipe, sizes and limits that fit a budget and the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nasforge.cli.own_images import FolderReader
from nasforge.errors import ArchError
from nasforge.images.config import FolderOption, FoundImages
from nasforge.recipe.start import Budget, BudgetStart, Setting, Start
from nasforge.recipe.toml_text import to_toml
from nasforge.space import NetworkSpace, Task

__all__ = ["choose_side", "fitting_width", "recipe_text"]

PER_CLASS = 8
"""Training images of a class, on average, that a limit leaves at least."""


def recipe_text(
    name: str,
    start: Start,
    budget: Budget,
    images: FolderReader | None = None,
    device: str | None = None,
    width: tuple[int, str] | None = None,
) -> str:
    """Write a recipe.

    Args:
        name: Name of the run's folder.
        start: The settings of ``nasforge init``.
        budget: ``"smoke"`` shows that everything works, ``"minutes"`` is a first search, ``"full"`` has the
            published settings.
        images: A folder of images and its plugin; None takes the images of the base recipe.
        device: Where to compute; None leaves it to the run.
        width: Width of the final network, and a remark about it.
    """
    base, trial = start.budgets[budget], f"profiles.{start.trial.profile}"
    tables = _Tables()
    tables.add("run", FolderOption("name", name))
    if device:
        tables.add("run", FolderOption("device", device))
    # A folder of its own: the run without the profile would find the folder of another recipe.
    tables.add(f"{trial}.run", FolderOption("name", f"{name}-{start.trial.profile}"))
    small: list[FolderOption] = []
    if images:
        tables.add("data", *_data(images, start, base))
        tables.add("space")
        large = base.large if _is_large(images.found, start, base) else None
        tables.set(large.options if large else ())
        tables.set(_batch_settings(start, tables["data"]))
        small = _small_data(images, start, base)
    if width:
        tables.add("space", FolderOption(start.width.option, *width))
        tables.add(f"{trial}.space", FolderOption(start.width.option, min(width[0], start.trial.width)))
    tables.set(base.options)
    if small:
        tables.add(f"{trial}.data", *small)
        tables.set(_batch_settings(start, small), f"{trial}.")
    lines = [
        "# Written by nasforge init, to be changed. What options mean: nasforge plugins show NAME.",
        f"# Try it in small first: nasforge run FILE --profile {start.trial.profile}",
        "",
        f'extends = "{base.extends}"      # see it: nasforge recipes show {base.extends}',
    ]
    for table, options in tables.items():
        if options:
            lines += ["", f"[{table}]", *map(_line, options)]
    return "\n".join(lines) + "\n"


class _Tables(dict[str, list[FolderOption]]):
    """Options by table, in the order in which the tables were first named."""

    def add(self, table: str, *options: FolderOption) -> None:
        self.setdefault(table, []).extend(options)

    def set(self, settings: Sequence[Setting], prefix: str = "") -> None:
        for setting in settings:
            table, _, name = setting.option.rpartition(".")
            self.add(f"{prefix}{table}", FolderOption(name, setting.value, setting.remark))


def _data(images: FolderReader, start: Start, base: BudgetStart) -> list[FolderOption]:
    found, available = images.found, images.found.left_to_train
    chosen = images.options(choose_side(found, start, base))
    options = [FolderOption("use", images.plugin.name, chosen.remark), *chosen.options]
    limit = max(base.images or found.train, PER_CLASS * len(found.classes))
    if limit < available:
        options.append(FolderOption("limit_train", limit, "remove this to use all"))
    return [*options, FolderOption("batch_size", _batch(min(limit, available), base.batch_size))]


def _small_data(images: FolderReader, start: Start, base: BudgetStart) -> list[FolderOption]:
    found, trial = images.found, start.trial
    side = base.large.trial_side if base.large and _is_large(found, start, base) else trial.side
    sizes = [option._replace(remark="") for option in images.options(side).options if option.by_size]
    small = min(max(trial.images, PER_CLASS * len(found.classes)), found.left_to_train)
    test = min(max(trial.test_images, len(found.classes)), found.left_to_test)
    return [
        *sizes,
        FolderOption("limit_train", small),
        FolderOption("limit_test", test),
        FolderOption("batch_size", _batch(small, trial.batch_size)),
    ]


def _batch_settings(start: Start, data: Sequence[FolderOption]) -> list[Setting]:
    batch = next(option.value for option in data if option.name == "batch_size")
    return [Setting(option=option, value=batch) for option in start.batch_options]


def choose_side(found: FoundImages, start: Start, base: BudgetStart) -> int:
    """Return the side at which a budget uses the images of a folder, in pixels.

    Args:
        found: Contents of the folder.
        start: The settings of ``nasforge init``.
        base: Those of the budget.
    """
    largest = min(found.side, base.largest_side)
    return max((side for side in start.sides if side <= largest), default=start.sides[0])


def _is_large(found: FoundImages, start: Start, base: BudgetStart) -> bool:
    return base.large is not None and choose_side(found, start, base) >= base.large.side


def _batch(images: int, largest: int) -> int:
    """Return a power of two of which each half of the images gives two batches."""
    batch = largest
    while batch > 1 and batch * 4 > images:
        batch //= 2
    return batch


def _line(option: FolderOption) -> str:
    line = f"{option.name} = {to_toml(option.value)}"
    return f"{line:<26} # {option.remark}" if option.remark else line


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
