"""The text of a first recipe: base recipe, sizes and limits that fit a budget and the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nasforge.cli.own_images import FolderReader
from nasforge.images.config import FolderOption, FoundImages
from nasforge.recipe.start import Budget, BudgetStart, Setting, Start
from nasforge.recipe.toml_text import to_toml

__all__ = ["Limits", "choose_side", "recipe_text"]

PER_CLASS = 8
"""Training images of a class, on average, that a limit leaves at least."""


@dataclass(frozen=True)
class Limits:
    """Limits on the networks.

    Attributes:
        max_params: Most parameters; None for no limit.
        max_latency_ms: Longest latency, in milliseconds; None for no limit.
        backend: Backend that measures latencies, see the ``[latency]`` table; None for torch.
    """

    max_params: int | None = None
    max_latency_ms: float | None = None
    backend: str | None = None

    def __bool__(self) -> bool:
        """Return whether there is a limit."""
        return self.max_params is not None or self.max_latency_ms is not None


def recipe_text(
    name: str,
    start: Start,
    budget: Budget,
    images: FolderReader | None = None,
    device: str | None = None,
    limits: Limits | None = None,
    sizes: tuple[int, int, str] | None = None,
) -> str:
    """Write a recipe.

    Args:
        name: Name of the run's folder.
        start: The settings of ``nasforge init``.
        budget: ``"smoke"`` shows that everything works, ``"minutes"`` is a first search, ``"full"`` has the
            published settings.
        images: A folder of images and its plugin; None takes the images of the base recipe.
        device: Where to compute; None leaves it to the run.
        limits: Limits of the networks. Some latency needs a searcher that rejects candidates.
        sizes: Width and depth of the final network, and a remark about them.
    """
    limits = limits or Limits()
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
    if sizes:
        width, depth, remark = sizes
        tables.add("space", FolderOption(start.width.option, width, remark))
        tables.add("space", FolderOption(start.depth.option, depth))
        tables.add(f"{trial}.space", FolderOption(start.width.option, min(width, start.trial.width)))
    tables.add("constraints", *_constraints(limits))
    if limits.backend:
        tables.add("latency", FolderOption("backend", limits.backend))
    tables.set(base.options)
    limited = limits.max_latency_ms is not None
    tables.set(base.limited_searcher if limited else base.searcher)
    extended = base.limited if limited else base.extends
    if small:
        tables.add(f"{trial}.data", *small)
        tables.set(_batch_settings(start, small), f"{trial}.")
    lines = [
        "# Written by nasforge init, to be changed. What options mean: nasforge plugins show NAME.",
        f"# Try it in small first: nasforge run FILE --profile {start.trial.profile}",
        "",
        f'extends = "{extended}"      # see it: nasforge recipes show {extended}',
    ]
    for table, options in tables.items():
        if options:
            lines += ["", f"[{table}]", *map(_line, options)]
    return "\n".join(lines) + "\n"


def _constraints(limits: Limits) -> list[FolderOption]:
    found = []
    if limits.max_params is not None:
        found.append(FolderOption("max_params", limits.max_params))
    if limits.max_latency_ms is not None:
        found.append(FolderOption("max_latency_ms", limits.max_latency_ms))
        found.append(FolderOption("latency", "measured", "every candidate, where the run computes"))
    return found


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
