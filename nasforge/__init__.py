"""nasforge: modular neural architecture search for PyTorch.

Public names are imported when first used, so that ``import nasforge`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasforge.api import (
        bench,
        compare,
        create_network,
        load_network,
        load_predictor,
        run,
        write_report,
    )
    from nasforge.arch import Arch, Choice
    from nasforge.component import Component, Context
    from nasforge.config import BudgetedConfig, EvaluatorConfig, PluginConfig, SearcherConfig
    from nasforge.data import DataModule
    from nasforge.distiller import Distiller
    from nasforge.errors import NasforgeError
    from nasforge.evaluator import Evaluation, Evaluator
    from nasforge.observer import Observer
    from nasforge.plugins import Plugin, Registry, hookimpl
    from nasforge.recipe.local_code import trust
    from nasforge.searcher import AskTellSearcher, Searcher
    from nasforge.space import NetworkSpace, SearchSpace, Task
    from nasforge.stages.finished import export

__version__ = "0.1.0"

_HOMES = {
    "Arch": "arch",
    "AskTellSearcher": "searcher",
    "BudgetedConfig": "config",
    "Choice": "arch",
    "Component": "component",
    "Context": "component",
    "DataModule": "data",
    "Distiller": "distiller",
    "Evaluation": "evaluator",
    "Evaluator": "evaluator",
    "EvaluatorConfig": "config",
    "NasforgeError": "errors",
    "NetworkSpace": "space",
    "Observer": "observer",
    "Plugin": "plugins",
    "PluginConfig": "config",
    "Registry": "plugins",
    "SearchSpace": "space",
    "Searcher": "searcher",
    "SearcherConfig": "config",
    "Task": "space",
    "bench": "api",
    "compare": "api",
    "create_network": "api",
    "export": "stages.finished",
    "hookimpl": "plugins",
    "load_network": "api",
    "load_predictor": "api",
    "run": "api",
    "trust": "recipe.local_code",
    "write_report": "api",
}

__all__ = [
    "Arch",
    "AskTellSearcher",
    "BudgetedConfig",
    "Choice",
    "Component",
    "Context",
    "DataModule",
    "Distiller",
    "Evaluation",
    "Evaluator",
    "EvaluatorConfig",
    "NasforgeError",
    "NetworkSpace",
    "Observer",
    "Plugin",
    "PluginConfig",
    "Registry",
    "SearchSpace",
    "Searcher",
    "SearcherConfig",
    "Task",
    "bench",
    "compare",
    "create_network",
    "export",
    "hookimpl",
    "load_network",
    "load_predictor",
    "run",
    "trust",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nasforge' has no attribute {name!r}")
    return getattr(import_module(f"nasforge.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
