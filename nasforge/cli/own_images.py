"""A user's own images: inspect their folder, and find the data plugins that read it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nasforge.errors import DataError, PluginError
from nasforge.images.config import HELD_OUT, FolderConfig, FolderOptions, FoundImages
from nasforge.plugins import Plugin, Registry

if TYPE_CHECKING:
    from nasforge.images.files import Folder

__all__ = ["FolderReader", "find_readers", "inspect_images"]

SAMPLE = 200
"""Number of image files that are opened to learn their size."""

MOST = 5000
"""Number of image files up to which all are decoded, to find the broken ones."""


@dataclass(frozen=True)
class FolderReader:
    """A data plugin that reads the images of a folder.

    Attributes:
        plugin: The plugin; its options derive from `FolderConfig`.
        found: Contents of the folder.
    """

    plugin: Plugin
    found: FoundImages

    def reads(self) -> bool:
        """Return whether the plugin reads the layout of the folder."""
        return self._find_options(self.found.side) is not None

    def options(self, side: int) -> FolderOptions:
        """Return the options that read the folder.

        Args:
            side: Wanted side of the images, in pixels.

        Raises:
            PluginError: The plugin failed, or does not read the folder.
        """
        options = self._find_options(side)
        if options is None:
            raise PluginError(
                f"data {self.plugin.name!r} ({self.plugin.origin}): does not read {self.found.root} at "
                f"{side} pixels. Use another plugin, or other images."
            )
        return options

    def _find_options(self, side: int) -> FolderOptions | None:
        config = self.plugin.config
        if not issubclass(config, FolderConfig):
            return None
        try:
            return config.for_folder(self.found, side)
        except Exception as error:
            raise PluginError(
                f"data {self.plugin.name!r} ({self.plugin.origin}): for_folder failed: "
                f"{type(error).__name__}: {error}. Update that distribution, or name its entry point in "
                "NASFORGE_DISABLE."
            ) from error


def inspect_images(path: Path) -> FoundImages:
    """Find classes, numbers and sizes, and the files that cannot be read; warns about them.

    Up to `MOST` files are decoded; of more, only some are opened to learn their size.

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
    folders = [list_folder(root / "train", where)]
    held_out = next((name for name in ("test", "val") if (root / name).is_dir()), "")
    if held_out:
        folders.append(list_folder(root / held_out, where))
        compare_classes(folders[0], folders[1], where)
    readable = _without_broken(folders, where)
    broken = sum(len(folder.files) for folder in folders) - sum(len(folder.files) for folder in readable)
    train, test = readable[0], len(readable[1].files) if held_out else 0
    count = len(train.files) - (0 if held_out else round(len(train.files) * HELD_OUT))
    if count < 4 * len(train.classes):
        raise DataError(
            f"{where}: {len(train.files)} training images in {len(train.classes)} classes are too few to "
            "search with. Collect five of every class, at least."
        )
    step = -(-len(train.files) // SAMPLE)
    side = _median_side([train.path / file for file in train.files[::step]], where)
    return FoundImages(root, train.classes, len(train.files), test, held_out, side, broken)


def find_readers(found: FoundImages, registry: Registry, preferred: Sequence[str] = ()) -> list[FolderReader]:
    """Find the data plugins that read a folder of images.

    Args:
        found: Contents of the folder.
        registry: The installed plugins.
        preferred: Names of plugins that come first; the others follow by name.

    Raises:
        DataError: There is none.
        PluginError: A plugin failed.
    """
    order = {name: position for position, name in enumerate(preferred)}
    plugins = sorted(registry.of("data"), key=lambda plugin: order.get(plugin.name, len(order)))
    able = [reader for plugin in plugins if (reader := FolderReader(plugin, found)).reads()]
    if not able:
        folders = " and ".join(repr(name) for name in ("train", found.held_out) if name)
        raise DataError(
            f"--images {found.root}: no installed data plugin reads a folder with {folders}. Install one, or "
            "see what is installed: nasforge plugins list"
        )
    return able


def _without_broken(folders: Sequence[Folder], where: str) -> list[Folder]:
    """Return the folders without the files that cannot be read, and warn about these."""
    from nasforge.images.broken import LEFT_OUT, find_broken, leave_out, list_broken

    files = [folder.path / file for folder in folders for file in folder.files]
    if len(files) > MOST or not (broken := find_broken(files)):
        return list(folders)
    warnings.warn(list_broken(where, broken, len(files), LEFT_OUT), stacklevel=3)
    return [
        leave_out(folder, {file for file in folder.files if folder.path / file in broken}, where)
        for folder in folders
    ]


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
