"""The shipped settings of ``nasforge init``: base recipe, limits and options of every budget."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, PositiveInt, field_validator

from nasforge.config import PluginConfig
from nasforge.errors import RecipeError
from nasforge.recipe.options import validate
from nasforge.recipe.shipped import find_shipped

__all__ = [
    "BUDGETS",
    "Budget",
    "BudgetStart",
    "LargeImages",
    "Setting",
    "Size",
    "Start",
    "Trial",
    "read_start",
]

Budget = Literal["smoke", "minutes", "full"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)

FILE = "start/budgets.toml"
"""The settings, among the shipped recipes."""

OptionPath = Annotated[str, Field(pattern=r"^[\w-]+(\.[\w-]+)+$")]
"""An option with its table, such as ``"train.epochs"``."""


class Setting(PluginConfig):
    """A value for one option of a recipe."""

    option: OptionPath
    """The option with its table, such as `train.epochs`."""

    value: bool | int | float | str
    """Its value."""

    remark: str = ""
    """Comment beside it."""


class StartTask(PluginConfig):
    """Input and output sizes of the images of a base recipe."""

    in_channels: PositiveInt
    """Channels of the images."""

    image_size: PositiveInt
    """Side of the images, in pixels."""

    num_classes: PositiveInt
    """Number of classes."""


class LargeImages(PluginConfig):
    """Changes for images that are too large for the networks of the base recipe."""

    side: PositiveInt
    """The smallest side that is large, in pixels."""

    trial_side: PositiveInt
    """Side of the images in the trial profile, in pixels."""

    options: tuple[Setting, ...] = ()
    """Options that large images change."""


class BudgetStart(PluginConfig):
    """Base recipe, limits and options of one budget."""

    extends: str
    """The shipped recipe that the new one extends."""

    limited: str
    """The one it extends if there is a limit that the searcher of `extends` cannot keep."""

    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=2)]
    """The narrowest and the widest networks that a limit may choose."""

    depths: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=2)]
    """The shallowest and the deepest networks that a limit may choose."""

    task: StartTask
    """Sizes of the base recipe's own images: parameters are counted with them."""

    largest_side: PositiveInt
    """Limit for the side of the images, in pixels."""

    images: PositiveInt | None = None
    """Limit for the number of training images. None: all are used."""

    batch_size: PositiveInt
    """Limit for the batch size."""

    options: tuple[Setting, ...] = ()
    """Options of this budget."""

    searcher: tuple[Setting, ...] = ()
    """Further options with the searcher of `extends`."""

    limited_searcher: tuple[Setting, ...] = ()
    """Further options with that of `limited`."""

    large: LargeImages | None = None
    """Changes for large images. None: there are none."""


class Trial(PluginConfig):
    """The profile that tries a recipe in small."""

    profile: str = Field(pattern=r"^[\w-]+$")
    """Name of the profile; the base recipes must have it."""

    side: PositiveInt
    """Side of the images, in pixels."""

    images: PositiveInt
    """Limit for the number of training images."""

    test_images: PositiveInt
    """Limit for the number of test images."""

    batch_size: PositiveInt
    """Limit for the batch size."""

    width: PositiveInt
    """Limit for the width of the networks."""


class Size(PluginConfig):
    """One size of networks, which limits choose."""

    option: str
    """The option of the space that has this size."""

    step: PositiveInt = 1
    """Sizes that are tried are multiples of it."""


class Start(PluginConfig):
    """The settings of ``nasforge init``."""

    data: tuple[str, ...] = ()
    """Data plugins to prefer, the best first, where several read a folder of images."""

    sides: tuple[PositiveInt, ...] = Field(min_length=1)
    """Sides to choose from, in pixels, ascending."""

    batch_options: tuple[OptionPath, ...] = ()
    """Options that are set to the batch size of the images."""

    width: Size
    """How networks are made wider and narrower."""

    depth: Size
    """How networks are made deeper and shallower."""

    trial: Trial
    """The profile that tries a recipe in small."""

    budgets: dict[Budget, BudgetStart]
    """The base recipe of each budget."""

    @field_validator("sides")
    @classmethod
    def _ascending(cls, sides: tuple[int, ...]) -> tuple[int, ...]:
        if list(sides) != sorted(set(sides)):
            raise ValueError("must be ascending")
        return sides

    @field_validator("budgets")
    @classmethod
    def _complete(cls, budgets: Mapping[Budget, BudgetStart]) -> Mapping[Budget, BudgetStart]:
        if missing := [name for name in BUDGETS if name not in budgets]:
            raise ValueError(f"there is no table for {missing[0]!r}")
        return budgets


def read_start(path: Path | None = None) -> Start:
    """Read the settings of ``nasforge init``.

    Args:
        path: The file; None reads the shipped one.

    Raises:
        RecipeError: The file is missing, is not TOML, or has wrong settings.
    """
    path = path or find_shipped(FILE)
    if path is None:
        raise RecipeError(FILE, ["the settings of nasforge init are missing. Reinstall nasforge."])
    try:
        tables = tomllib.loads(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(str(path), [f"cannot be read: {error}."]) from None
    start, problems = validate(Start, tables)
    if start is None:
        raise RecipeError(str(path), [f"{'.'.join(map(str, where))}: {text}" for where, text in problems])
    return start
