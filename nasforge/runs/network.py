"""The trained network of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.errors import CheckpointError, InaccessibleError, PluginError, RunError
from nasforge.files import read_json
from nasforge.plugins import Registry
from nasforge.recipe import Recipe
from nasforge.runs.build import build
from nasforge.runs.folder import RunFolder, not_a_run
from nasforge.runs.opening import read_recipe
from nasforge.runs.scope import DERIVE, TRAIN
from nasforge.runs.stored import ArchitectureFile
from nasforge.space import NetworkSpace, Task

if TYPE_CHECKING:
    from torch import Tensor

    from nasforge.nn.output import Network

__all__ = [
    "ARCHITECTURE",
    "WEIGHTS",
    "Trained",
    "load_network",
    "load_trained",
    "network_space",
    "read_weights",
    "untrained",
]

ARCHITECTURE = "arch.json"
"""File with the found architecture and its task, in the folder of the derive stage."""

WEIGHTS = "weights.safetensors"
"""File with the trained weights, in the folder of the train stage."""


_ANEW = "Delete result.json beside it and run the folder again: it is written anew."


@dataclass(frozen=True)
class Trained:
    """The trained network of a run, and what is stored about it.

    Attributes:
        network: Maps images to an `Output`; in `eval` mode, on the CPU.
        recipe: The recipe of the run.
        task: Input and output sizes.
        about: JSON data in the header of the weights: ``class_names``, ``preprocessing``, and others.
        weights: The file.
    """

    network: Network
    recipe: Recipe
    task: Task
    about: Mapping[str, Any]
    weights: Path


def load_network(folder: str | Path) -> Network:
    """Load the trained network of a finished run, in `eval` mode, on the CPU.

    Args:
        folder: The run folder.

    Returns:
        A module that maps images to an `Output` with logits and stage features.

    Raises:
        RunError: The folder is not a run, or its network has not been trained.
        CheckpointError: The weights cannot be read or do not fit.
    """
    return load_trained(folder).network


def load_trained(folder: str | Path) -> Trained:
    """Load the trained network of a finished run with its recipe; see `load_network`.

    Args:
        folder: The run folder.
    """
    run_folder = RunFolder(Path(folder))
    resolved = run_folder.resolved
    if resolved is None:
        raise RunError(not_a_run(run_folder.path))
    weights = run_folder.stage(TRAIN.stage) / WEIGHTS
    if not weights.exists():
        raise RunError(f"{folder}: holds no trained network yet{untrained(run_folder, resolved)}")
    recipe = read_recipe(run_folder, Registry.discover())
    space = network_space(build(recipe.parts["space"]), resolved["space"]["use"])
    derived = read_json(run_folder.stage(DERIVE.stage) / ARCHITECTURE, ArchitectureFile, _ANEW)
    task = Task(**derived["task"])
    network = space.build(task, Arch(derived["architecture"]))
    tensors, about = read_weights(weights)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{weights}: does not fit the architecture ({reason}). {_ANEW}") from None
    network.eval()
    return Trained(network, recipe, task, about, weights)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read trained weights, and what their header says.

    Args:
        path: The file.

    Raises:
        CheckpointError: The file is damaged, or is not one of weights.
        InaccessibleError: It may be sound, but this process cannot open it.
    """
    from nasforge.runtime import checkpoint

    try:
        return checkpoint.load_weights(path)
    except InaccessibleError:
        raise  # weights that may be sound are not to be written anew
    except CheckpointError as error:
        raise CheckpointError(f"{error} {_ANEW}") from None


def untrained(folder: RunFolder, resolved: Mapping[str, Any]) -> str:
    """Return why a run has no weights, and how to get them: the end of a message.

    Args:
        folder: The run folder.
        resolved: Its complete recipe.
    """
    if TRAIN.stage not in resolved:
        return (
            ", because its recipe has no [train] table. Add one to the recipe and continue: "
            f"nasforge run RECIPE --update --set run.name={folder.path.name}"
        )
    if (folder.stage(TRAIN.stage) / "result.json").exists():
        return f": evaluator {resolved[TRAIN.stage]['use']!r} keeps none. Name one in [train] that does."
    return f". Finish it: nasforge run {folder.path}"


def network_space(space: Any, name: str) -> NetworkSpace[Any]:
    """Return a space if it builds networks.

    Args:
        space: The space.
        name: Its name in recipes.

    Raises:
        PluginError: It describes architectures only.
    """
    if not isinstance(space, NetworkSpace):
        raise PluginError(f"space {name!r} describes architectures only, it builds no networks.")
    return space
