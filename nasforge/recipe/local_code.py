"""Local modules before they run: their content, and whether it may run here."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nasforge.errors import PluginError
from nasforge.files import read_json
from nasforge.recipe.draft import Draft
from nasforge.recipe.trust import is_trusted, trust_code, trust_folder

__all__ = ["Code", "find_code", "refuse_code", "trust"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Code:
    """A module that a recipe names, before it runs.

    Attributes:
        name: Its file name, or the name it is imported by.
        mark: ``"sha256:…"``, or ``"module:name"``; see `nasforge.recipe.trust`.
        path: Its file; None for a module that is imported by name.
        content: The file as it was read.
    """

    name: str
    mark: str
    path: Path | None = None
    content: bytes = b""


def find_code(entry: str, folder: Path) -> Code:
    """Read a module without running it.

    Args:
        entry: A path, or the name of a module.
        folder: Where relative paths start.

    Raises:
        PluginError: It cannot be read.
    """
    if not is_file_name(entry):
        if not _DOTTED.fullmatch(entry):
            raise PluginError('is neither a file such as "./my_space.py" nor the name of a module.')
        return Code(entry, f"module:{entry}")
    try:
        path = (folder / Path(entry).expanduser()).resolve()
    except RuntimeError:
        raise PluginError("names the home folder of a user who does not exist.") from None
    try:
        if path.exists() and not path.is_file():
            raise PluginError(f"{path} is not a file.")
        content = path.read_bytes()
    except OSError as error:
        raise PluginError(f"cannot read {path}: {error.strerror}.") from None
    return Code(path.name, f"sha256:{hashlib.sha256(content).hexdigest()}", path, content)


def refuse_code(draft: Draft, entry: str, code: Code, checksums: Mapping[str, str]) -> str:
    """Return why code must not run; empty if it may. Code that the user brings is announced and noted.

    Args:
        draft: The recipe that names it.
        entry: How it does.
        code: The code.
        checksums: SHA-256 by file name, as a run stores them.
    """
    checksum = code.mark.removeprefix("sha256:")
    if code.path and checksums.get(code.name, checksum) != checksum:
        return (
            "has been changed since the run began. Put the earlier file back, or run the recipe again: under "
            "another name, or with --update."
        )
    if draft.stored and code.path and code.name not in checksums:
        return "has no checksum in [plugins] checksums, which a run writes. Run the recipe itself."
    if is_trusted(code.mark):
        return ""
    told = f"SHA-256 {checksum}" if code.path else "imported by name"
    if draft.stored:
        return (
            f"is code that was neither run nor trusted on this computer ({told}). Read it. If you would run "
            "a program of its author, add --trust, or call nasforge.trust(folder) in Python."
        )
    if draft.text:
        warnings.warn(f"{draft.source}: runs code of {entry!r}, which is new here ({told}).", stacklevel=2)
    trust_code([(code.mark, code.name)])
    return ""


def trust(folder: str | Path, *, keep: bool = True) -> tuple[str, ...]:
    """Trust the local modules of a run folder, as they are now: they may run on this computer from now on.

    Programs that other options of its recipe start may run in this process, and are noted when they do.

    Trust is about content: it ends when a file changes, and holds for copies of it.

    Args:
        folder: The run folder.
        keep: Write it down for later processes.

    Returns:
        The names of the modules.

    Raises:
        PluginError: A module cannot be read.
        CheckpointError: ``resolved.json`` cannot be read.
    """
    trust_folder(Path(folder))
    stored = Path(folder) / "resolved.json"
    written = read_json(stored, advice="") if stored.exists() else {}
    table = written.get("plugins")
    entries = table.get("modules", ()) if isinstance(table, Mapping) else ()
    entries = entries if isinstance(entries, list) else [entries]
    names = [entry for entry in entries if isinstance(entry, str)]
    found = [find_code(name, Path(folder)) for name in names]
    trust_code([(code.mark, code.name) for code in found], keep=keep)
    return tuple(code.name for code in found)


def is_file_name(entry: str) -> bool:
    """Tell whether an entry means a file rather than a module that can be imported."""
    return entry.endswith(".py") or "/" in entry or "\\" in entry
