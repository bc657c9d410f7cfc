"""Plugins that a recipe brings along: one Python file beside it is enough for a first try."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from pydantic import Field

from nasforge.config import PluginConfig
from nasforge.errors import PluginError
from nasforge.plugins import Plugin, Registry
from nasforge.plugins.hooks import Listing, describe_module, error_text
from nasforge.recipe.draft import Draft
from nasforge.recipe.local_code import Code, find_code, refuse_code

__all__ = ["LocalModule", "LocalModulesConfig", "load_module", "load_modules"]

_PACKAGE = "Code in several files makes a package: nasforge new plugin."


class LocalModulesConfig(PluginConfig):
    """Options of the ``[plugins]`` table: code that comes with the recipe, for this recipe alone."""

    modules: str | tuple[str, ...] = ()
    """Python files that describe plugins, relative to the recipe, such as "./my_space.py"; or names of
    modules that can be imported. They are run when the recipe is read."""

    checksums: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of these files by file name. A run writes it into its folder, beside its copy of the files, and
    refuses to resume with other ones."""

    def entries(self) -> tuple[str, ...]:
        """Return the modules as a list."""
        return (self.modules,) if isinstance(self.modules, str) else self.modules


@dataclass(frozen=True)
class LocalModule:
    """A module that a recipe names, imported.

    Attributes:
        name: Its file name, or the name it was imported by.
        plugins: The plugins it describes.
        path: Its file; None for a module that was imported by name.
        content: The file as it was read.
    """

    name: str
    plugins: tuple[Plugin, ...]
    path: Path | None = None
    content: bytes = b""

    @property
    def checksum(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def place(self) -> str:
        """The file's whole path, or the module's name: what finds it from anywhere."""
        return str(self.path) if self.path else self.name


def load_modules(draft: Draft, config: LocalModulesConfig) -> tuple[LocalModule, ...]:
    """Import the modules of a recipe.

    Code of a stored recipe (a run folder) runs only if its checksum is the stored one and the user has run or
    trusted the same code before. Code of a recipe file is announced with a warning when it is new.

    Args:
        draft: The recipe; gets a problem for everything that is wrong with one.
        config: Its ``[plugins]`` table.
    """
    found: dict[str, LocalModule] = {}
    path = ("plugins", "modules")
    for entry in config.entries():
        try:
            code = find_code(entry, draft.folder(path))
            if problem := refuse_code(draft, entry, code, config.checksums):
                draft.add_error(path, f"{entry!r}: {problem}")
                continue
            module = _import_code(entry, code, draft.folder(path))
        except PluginError as error:
            draft.add_error(path, f"{entry!r}: {error}")
            continue
        if found.setdefault(module.name, module).content != module.content:
            draft.add_error(
                path, f"{entry!r}: another file is called {module.name!r} too. Rename one of them."
            )
    return tuple(found.values())


def load_module(entry: str, folder: Path) -> LocalModule:
    """Import a module and ask it for its plugins.

    A file is read anew in every process and known by its content: the same file in two places is one module,
    and two files of one name are two.

    Args:
        entry: A path, or the name of a module.
        folder: Where relative paths start.

    Raises:
        PluginError: It is missing, cannot be imported, or describes no valid plugin; says on which line.
    """
    return _import_code(entry, find_code(entry, folder), folder)


def _import_code(entry: str, code: Code, folder: Path) -> LocalModule:
    path, content = code.path, code.content
    if path is None:
        return _load_named(entry, folder)
    listing = Listing()
    with listing:
        module = _import_file(path, content)
        described = _asked(module, path)
    if line := listing.printed():
        warnings.warn(f"{entry} prints {line!r} when it is read. Remove the print.", stacklevel=2)
    origin = f"{path.name} {hashlib.sha256(content).hexdigest()[:12]}"
    plugins = tuple(
        replace(plugin, origin=origin, module=module.__name__, target=_target(plugin, path, module))
        for plugin in _valid(described)
    )
    return LocalModule(path.name, plugins, path, content)


def _load_named(name: str, folder: Path) -> LocalModule:
    with Listing():
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            beside = folder / f"{name}.py"
            hint = f' For the file beside the recipe write "./{beside.name}".' if beside.is_file() else ""
            raise PluginError(f"cannot be imported: {error_text(error).rstrip('.')}.{hint}") from None
        described = _asked(module, None)
    return LocalModule(name, tuple(replace(p, origin=name, module=name) for p in _valid(described)))


class _Loader(SourceFileLoader):
    """Compiles what was read, so that code and checksum belong together; leaves no cache beside the file."""

    def __init__(self, name: str, path: Path, content: bytes) -> None:
        super().__init__(name, str(path))
        self._content = content

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        """Compile the content."""
        return self.source_to_code(self._content, self.path)


def _import_file(path: Path, content: bytes) -> ModuleType:
    stem = re.sub(r"\W", "_", path.stem)
    name = f"nasforge_local_{stem}_{hashlib.sha256(content).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path, loader=_Loader(name, path, content))
    assert spec is not None, "a loader was given"
    assert spec.loader is not None
    sys.modules[name] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise PluginError(_place(error, path)) from None
    return module


def _asked(module: ModuleType, path: Path | None) -> list[object]:
    try:
        return describe_module(module)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(_place(error, path)) from None


def _place(error: BaseException, path: Path | None) -> str:
    """Word an error with the line of the file it came from."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"line {error.lineno} of it: not valid Python: {error.msg}."
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"line {lines[-1]} of it: " if lines else ""
    hint = f" {_PACKAGE}" if isinstance(error, ModuleNotFoundError) else ""
    return f"{where}{error_text(error).rstrip('.')}.{hint}"


def _valid(described: Iterable[object]) -> list[Plugin]:
    found: list[Plugin] = []
    for plugin in described:
        if not isinstance(plugin, Plugin):
            raise PluginError(f"the hook returned {plugin!r}, which is not a Plugin.")
        found.append(plugin)
    if not found:
        raise PluginError("describes no plugin: nasforge_plugins() returned an empty list.")
    if broken := Registry(found).broken:
        raise PluginError(" ".join(f"{plugin}: {reason}" for plugin, reason in broken))
    return found


def _target(plugin: Plugin, path: Path, module: ModuleType) -> str:
    """Return the target under the name the file was imported by; its author may have used the file's name."""
    home, _, attribute = plugin.target.partition(":")
    if home not in (path.stem, module.__name__):
        return plugin.target
    if not hasattr(module, attribute.partition(".")[0]):
        raise PluginError(f"the target {plugin.target!r} of {plugin.name!r} names nothing in this file.")
    return f"{module.__name__}:{attribute}"
