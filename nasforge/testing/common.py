"""Checks of plugins of every kind, and the wording of broken rules."""

from __future__ import annotations

import os
import pkgutil
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasforge.config import read_descriptions, sub_tables, walk_options
from nasforge.plugins import KINDS, Plugin
from nasforge.plugins.capabilities import known_capabilities, missing_members
from nasforge.recipe.options import validate
from nasforge.rows import AppendOnly
from nasforge.testing.parts import Partners

__all__ = [
    "CHECKS",
    "ConformanceError",
    "Rule",
    "Subject",
    "difference",
    "opened_files",
    "require",
    "scratch",
]

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ConformanceError(AssertionError):
    """A plugin breaks a rule; the message says which, how, and what to do."""


@dataclass(frozen=True)
class Subject:
    """A plugin under test.

    Attributes:
        plugin: Its description.
        module: The module with its hook, where known.
        options: Its options: ``tiny``, and what the test adds.
        partners: Stand in for the other parts of a run.
    """

    plugin: Plugin
    module: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    partners: Partners = field(default_factory=Partners)

    def make(self) -> Any:
        """Return the component, made from its options."""
        return self.plugin.load()(self.plugin.config(**self.options))


Rule = Callable[[Subject], None]


def require(condition: object, message: str) -> None:
    """Raise `ConformanceError` unless the condition holds; unlike ``assert``, also under ``python -O``.

    Args:
        condition: The condition that must hold.
        message: The problem and its remedy.
    """
    if not condition:
        raise ConformanceError(message)


@contextmanager
def scratch() -> Iterator[Path]:
    """Lend a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="nasforge-") as folder:
        yield Path(folder)


def difference(a: Any, b: Any, at: str = "") -> str:
    """Return the path of the first difference between two nested states, or an empty string.

    Args:
        a: Tensors, numbers, text, lists and mappings of them.
        b: The other.
        at: Path of both.
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        same = a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
        return "" if same else at or "the tensor"
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if missing := set(a) ^ set(b):
            return f"{at}/{min(map(str, missing))}"
        return next((d for k in a if (d := difference(a[k], b[k], f"{at}/{k}"))), "")
    if isinstance(a, list | tuple | AppendOnly) and isinstance(b, list | tuple | AppendOnly):
        if len(a) != len(b):
            return f"{at} (its length)"
        return next(
            (d for i, (x, y) in enumerate(zip(a, b, strict=True)) if (d := difference(x, y, f"{at}/{i}"))), ""
        )
    return "" if type(a) is type(b) and (a == b or (a != a and b != b)) else at or "the value"


def listing_is_light(subject: Subject) -> None:
    """The module with the hook imports no torch and prints nothing: every command imports it."""
    module = subject.module or subject.plugin.config.__module__
    code = f"import sys, {module}; sys.exit(3 if 'torch' in sys.modules else 0)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment
    )
    require(
        done.returncode != 3,
        f"importing {module} imports torch, and every nasforge command imports {module}. Move the import to "
        f"the module that the target {subject.plugin.target!r} names.",
    )
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    require(done.returncode == 0, f"{module} cannot be imported: {last}")
    require(
        not done.stdout, f"importing {module} prints {done.stdout!r}; machine-readable output would break."
    )


def options_are_described(subject: Subject) -> None:
    """Every option has a description: the docstring under the field."""
    read_descriptions(subject.plugin.config)
    for path, option in walk_options(subject.plugin.config):
        require(
            option.description,
            f"option {'.'.join(path)!r} of {subject.plugin.config.__name__} has no description. Put a string "
            "under it: it is shown by 'nasforge plugins show' and in editors.",
        )


def options_have_defaults(subject: Subject) -> None:
    """A table with nothing but ``use`` is valid; only data may need a path. Empty sub-tables add nothing."""
    fields = subject.plugin.config.model_fields
    required = [name for name, option in fields.items() if option.is_required()]
    paths_required = KINDS[subject.plugin.kind].paths_required
    excused = [n for n in required if paths_required and fields[n].annotation is Path]
    missing = [name for name in required if name not in excused]
    require(not missing, f"option(s) without a default: {', '.join(missing)}. Give each one.")
    if not required:
        defaults = subject.plugin.config()
        _, problems = validate(subject.plugin.config, {})
        refused = "; ".join(f"{'.'.join(map(str, where))} {message}" for where, message in problems)
        require(not refused, f"recipes without options are refused: {refused} Give a default that fits.")
        for name in sub_tables(subject.plugin.config):
            require(
                subject.plugin.config(**{name: {}}) == defaults,
                f"the sub-table {name!r} has another default than its class, so that setting one of its "
                "options changes the others. Derive a class with with_defaults(), as default_factory.",
            )


def tiny_options_are_valid(subject: Subject) -> None:
    """The settings for quick runs are options, and valid."""
    unknown = set(subject.options) - set(subject.plugin.config.model_fields)
    require(not unknown, f"'tiny' sets {sorted(unknown)}, which are not options.")
    subject.plugin.config(**subject.options)


def constructor_does_no_work(subject: Subject) -> None:
    """The constructor stores the options and does nothing else: no files, no randomness."""
    make = subject.plugin.load()
    config = subject.plugin.config(**subject.options)
    before = torch.get_rng_state(), random.getstate()
    with opened_files() as opened:
        component = make(config)
    require(
        not opened,
        f"the constructor opens {', '.join(opened[:3])}. Move that to setup(): recipes are checked, and "
        "commands run, without any work being done.",
    )
    require(
        torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate(),
        "the constructor draws random numbers. Move that to setup(), where the run's seed is known.",
    )
    require(
        getattr(component, "config", None) is config,
        "the constructor does not keep its options as self.config. Call super().__init__(config).",
    )


def capabilities_are_declared(subject: Subject) -> None:
    """The description lists the capabilities that the class has, and the class has those it lists."""
    plugin = subject.plugin
    offered = plugin.load()  # raises an error that names a capability which the class lacks
    hidden = [
        declared.__name__
        for declared in known_capabilities(plugin.kind)
        if declared not in plugin.provides
        and isinstance(offered, type)
        and not missing_members(declared, offered)
    ]
    require(
        not hidden,
        f"the class has {' and '.join(hidden)}, which 'provides' does not list: recipes that need it are "
        "refused. Add it to 'provides'.",
    )


def derives_from_the_contract(subject: Subject) -> None:
    """The component is an instance of the base class of its kind."""
    contract: type = pkgutil.resolve_name(KINDS[subject.plugin.kind].contract)
    component = subject.make()
    require(
        isinstance(component, contract),
        f"{type(component).__name__} does not derive from {contract.__module__}.{contract.__name__}.",
    )


CHECKS: tuple[Rule, ...] = (
    listing_is_light,
    capabilities_are_declared,
    options_are_described,
    options_have_defaults,
    tiny_options_are_valid,
    constructor_does_no_work,
    derives_from_the_contract,
)

_listeners: list[tuple[list[str], bool]] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listeners or event not in ("open", "socket.connect", "os.listdir", "os.mkdir", "os.rename"):
        return
    found, writing = _listeners[-1]
    named = arguments[1] if event in ("socket.connect", "os.rename") else arguments[0]
    what = os.fsdecode(named) if isinstance(named, bytes) else str(named)
    writes = event in ("os.mkdir", "os.rename") or (event == "open" and int(arguments[2] or 0) & WRITING)
    # Python itself reads source and libraries when a constructor imports something late.
    late = what.endswith((".py", ".pyc", ".so", ".pyd")) or "__pycache__" in what
    if not late and (writes or not writing):
        found.append(what)


@cache
def _install_hook() -> None:
    sys.addaudithook(_listen)  # it cannot be removed, so there is one for all checks


@contextmanager
def opened_files(*, writing: bool = False) -> Iterator[list[str]]:
    """Collect what is opened inside the block: files, listed or new folders, connections.

    Args:
        writing: Collect only files that are opened for writing or renamed, and new folders.
    """
    _install_hook()
    found: list[str] = []
    _listeners.append((found, writing))
    try:
        yield found
    finally:
        _listeners.pop()
