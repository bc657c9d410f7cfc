"""Make the network that a recipe names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from nasforge.errors import RunError, suggest
from nasforge_plugins.spaces.model.config import is_file_name, split_model

__all__ = ["make_model"]


def make_model(model: str, arguments: Mapping[str, Any], seed: int) -> nn.Module:
    """Make a network, under a seed of its own.

    Args:
        model: See the option of this name.
        arguments: Its arguments.
        seed: For random weights.

    Raises:
        RunError: There is no such network, or making it fails.
    """
    source, name = split_model(model)
    makers: Mapping[str, Callable[[str, Mapping[str, Any]], Any]] = {
        "torchvision": _from_torchvision,
        "timm": _from_timm,
    }
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        if source in makers:
            made = makers[source](name, arguments)
        else:
            made = _call(model, _from_module(source, name), arguments)
    if not isinstance(made, nn.Module):
        raise RunError(
            f"space.model: {model!r} made a {type(made).__name__}. Name a class of torch.nn.Module, or a "
            "function that returns a module."
        )
    return made


def _from_torchvision(name: str, arguments: Mapping[str, Any]) -> Any:
    from torchvision import models

    return _call(
        f"torchvision:{name}", _known(models.list_models(), name, models.get_model_builder), arguments
    )


def _from_timm(name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        import timm
    except ImportError:
        raise RunError(
            f"space.model: 'timm:{name}' needs timm, which is not installed: pip install 'nasforge[timm]'"
        ) from None
    make = _known(timm.list_models(), name, lambda known: lambda **given: timm.create_model(known, **given))
    return _call(f"timm:{name}", make, arguments)


def _known(names: Iterable[str], name: str, get: Callable[[str], Callable[..., Any]]) -> Callable[..., Any]:
    names = list(names)
    if name.partition(".")[0] not in names:
        near = suggest(name, names)
        raise RunError(
            f"space.model: {name!r} is not one of its {len(names)} networks.{near if 'mean' in near else ''}"
        )
    return get(name)


def _from_module(source: str, name: str) -> Any:
    module = _import_file(source) if is_file_name(source) else _import_named(source)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [n for n, value in vars(found).items() if callable(value) and not n.startswith("_")]
            raise RunError(f"space.model: {source!r} has no {part!r}.{suggest(part, known)}")
        found = getattr(found, part)
    return found


def _import_file(source: str) -> ModuleType:
    path = Path(source).expanduser().resolve()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(
            f"space.model: cannot read {path} ({error.strerror}). Write its path from the folder in "
            "which you start nasforge."
        ) from None
    name = f"nasforge_model_{path.stem}_{hashlib.sha256(content).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RunError(f"space.model: {source!r} is not a Python file. Name one that ends in .py.")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    # Modules beside the file are found as if it were started as a program.
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise RunError(f"space.model: {source!r} cannot be imported: {_place(error, path)}") from None
    finally:
        sys.path.remove(str(path.parent))
    return module


def _import_named(source: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except (Exception, SystemExit) as error:
        beside = Path(f"{source}.py")
        hint = f' For a file write "{beside}:…".' if beside.is_file() else ""
        raise RunError(
            f"space.model: module {source!r} cannot be imported ({type(error).__name__}: {error}).{hint}"
        ) from None


def _call(model: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    if isinstance(make, nn.Module):
        raise RunError(
            f"space.model: {model!r} is a module that exists already. Name what makes it: a class, or a "
            "function without arguments that returns it."
        )
    try:
        return make(**arguments)
    except Exception as error:  # the user's code
        told = ", ".join(f"{k} = {v!r}" for k, v in arguments.items())
        raise RunError(
            f"space.model: {model!r} fails{f' with {told}' if told else ''}: {type(error).__name__}: "
            f"{str(error).rstrip('.')}. Change space.arguments."
        ) from None


def _place(error: BaseException, path: Path) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {str(error).rstrip('.')}."
