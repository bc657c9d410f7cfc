"""Every error nasforge raises on purpose, and the one function that words suggestions.

A message reads ``where: what is wrong. What to do.`` and quotes the user's own words. The command line
prints a `NasforgeError` without a traceback and exits with its ``exit_code``.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "AccessError",
    "ArchError",
    "CheckpointError",
    "DataError",
    "ImageError",
    "InaccessibleError",
    "NasforgeError",
    "PluginError",
    "RecipeError",
    "RunError",
    "describe_system_error",
    "is_out_of_memory",
    "suggest",
    "unreadable",
]


class NasforgeError(Exception):
    """Parent of all errors that a user can act on."""

    exit_code: int = 2
    """Exit status of the command line: 2 for a wrong recipe or argument, 1 for a run that failed."""

    is_reported_elsewhere: bool = False
    """Whether another process of the same run tells the user."""


class ArchError(NasforgeError):
    """An architecture does not belong to its search space, or its notation cannot be read."""


class PluginError(NasforgeError):
    """A plugin is missing, claimed twice, or cannot be loaded."""


class RecipeError(NasforgeError):
    """A recipe is wrong; ``problems`` lists everything found, not only the first.

    Args:
        source: Path or other name of the recipe.
        problems: One sentence each, in the order of the file.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source, self.problems = source, tuple(problems)
        head = f"{source}: {len(problems)} problem{'' if len(problems) == 1 else 's'}"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in problems)]))


class DataError(NasforgeError):
    """Images or labels are missing, unreadable, or do not fit the recipe."""

    exit_code = 1


class ImageError(DataError):
    """An image file is damaged, or not an image.

    Args:
        where: Name of the option that points there.
        name: The file.
        reason: Why it cannot be read.
    """

    def __init__(self, where: str, name: str, reason: str) -> None:
        super().__init__(f"{where}: image '{name}' cannot be read ({reason}). Replace it or remove it.")
        self.reason = reason


class CheckpointError(NasforgeError):
    """A checkpoint or weights file is unreadable, or does not fit what it is loaded into."""

    exit_code = 1


class InaccessibleError(CheckpointError):
    """A file of a run may be sound, but cannot be opened: its permissions, or too many open files."""


class RunError(NasforgeError):
    """A run cannot continue: not-a-number loss, a run folder of another recipe, a device that is missing."""

    exit_code = 1


class AccessError(RunError):
    """A component asked for images that its stage may not read."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Word a suggestion for a name that does not exist.

    Args:
        word: The user's word; empty if nothing was written.
        known: The names that exist.

    Returns:
        ``" Did you mean 'x'?"``, else ``" Known: a, b."``, else an empty string; starts with a space.
    """
    names = sorted(set(known))
    if word and (close := get_close_matches(word, names, n=1, cutoff=0.6)):
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(names)}." if names else ""


ADVICE = {
    errno.ENOSPC: "Free some space, then run the same command again.",
    errno.EFBIG: "The file is larger than the system allows. Raise the limit (ulimit -f).",
    errno.EDQUOT: "Free some space of your quota, then run the same command again.",
    errno.EACCES: "Change its permissions, or choose another place.",
    errno.EPERM: "Change its permissions, or choose another place.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.EISDIR: "A folder is in the place of a file. Remove it, or choose another place.",
    errno.ENOTDIR: "A file is in the place of a folder. Remove it, or choose another place.",
    errno.EEXIST: "Something else is in its place. Remove it, or choose another place.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "It is a symbolic link, which is not followed here, or a circle of them. Remove it.",
    errno.ENXIO: "Remove it, or choose another place.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or use fewer workers.",
    errno.ENFILE: "Close other programs, or use fewer workers.",
    errno.ENOENT: "Check the path.",
    errno.EIO: "The disk or the network may have failed. Run the same command again.",
    errno.ESTALE: "The network file system lost the file. Run the same command again.",
    errno.ENOMEM: "Close other programs, or use fewer workers, smaller batches or smaller networks.",
}


def describe_system_error(error: OSError) -> str:
    """Word an error of the operating system: the file, the reason, and what to do."""
    # Where a file is renamed, its new name is the one that users know.
    names = (getattr(error, "filename2", None), error.filename)
    where = next((name for name in names if isinstance(name, str | bytes)), None)
    place = f"{where!r}: " if where else ""
    reason = error.strerror or str(error) or type(error).__name__
    advice = ADVICE.get(error.errno or 0, "")
    return f"{place}{reason[:1].lower()}{reason[1:].rstrip('.')}.{' ' if advice else ''}{advice}"


_INACCESSIBLE = frozenset({errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})


def unreadable(path: object, error: OSError, advice: str = "") -> CheckpointError:
    """Return the error for a file of a run that cannot be read.

    Args:
        path: The file.
        error: The error of the operating system.
        advice: Advice for a file that is not sound, such as to delete it.
    """
    reason = error.strerror or str(error) or type(error).__name__
    sound = error.errno in _INACCESSIBLE
    told = ADVICE[error.errno or 0] if sound else advice
    text = f"{path}: cannot be read ({reason[:1].lower()}{reason[1:]}).{' ' if told else ''}{told}"
    return InaccessibleError(text) if sound else CheckpointError(text)


OUT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "could not create a primitive",  # oneDNN, in convolutions
)
"""Phrases in errors of torch's allocators; on a CPU they are plain RuntimeErrors."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python or torch means that memory was missing."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY)
