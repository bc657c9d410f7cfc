"""The contract of a format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from nasforge.errors import RunError
from nasforge.exports.source import ExportSource
from nasforge.recipe.export_table import FormatName

__all__ = ["Call", "Format"]

Call = Callable[[Tensor], Tensor]
"""Maps images ``(B, C, S, S)`` to logits ``(B, classes)``."""


class Format(ABC):
    """A kind of file that networks are exported to."""

    name: ClassVar[FormatName]
    """Its name in recipes and commands."""

    file: ClassVar[str]
    """Name of the file, or of the folder."""

    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that must be installed."""

    extra: ClassVar[str] = ""
    """The extra of nasforge that installs them."""

    reads_pixels: ClassVar[bool] = False
    """Whether the file reads uint8 images instead of normalised ones."""

    exact: ClassVar[bool] = True
    """Whether it computes what the network computes, up to rounding of float32."""

    def check_installed(self) -> None:
        """Check that the modules are there.

        Raises:
            RunError: Names the pip line that installs them.
        """
        missing = [name for name in self.modules if find_spec(name) is None]
        if missing:
            raise RunError(f"needs {', '.join(missing)}. Run: pip install 'nasforge[{self.extra}]'")

    @abstractmethod
    def write(self, source: ExportSource, path: Path) -> dict[str, Any]:
        """Write the file.

        Args:
            source: The network.
            path: The file or folder to write.

        Returns:
            Further entries for the result, as JSON data.
        """

    @abstractmethod
    def open(self, path: Path) -> Call:
        """Return a function that runs a file in this process, on the CPU.

        Args:
            path: As given to `write`.
        """

    def size(self, path: Path) -> int:
        """Return the bytes on disk, of a folder those of all its files."""
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())
