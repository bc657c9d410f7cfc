"""The trained network of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.errors import CheckpointError, PluginError, RunError
from nasforge.files import read_json
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.build import build
from nasforge.runs.folder import RunFolder
from nasforge.space import NetworkSpace, Task

if TYPE_CHECKING:
    from nasforge.nn.output import Network

__all__ = ["load_network", "network_space"]


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
    from nasforge.runtime import checkpoint

    run_folder = RunFolder(Path(folder))
    resolved = run_folder.resolved
    if resolved is None:
        raise RunError(f"{folder}: is no run folder (no resolved.json). Give the folder that a run made.")
    weights = run_folder.stage("train") / "weights.safetensors"
    if not weights.exists():
        raise RunError(f"{folder}: holds no trained network yet. Finish it: nasforge run {folder}")
    source = str(run_folder.path / "resolved.json")
    recipe = check(resolved, Registry.discover(), source=source, folder=run_folder.path)
    space = network_space(build(recipe.parts["space"]), resolved["space"]["use"])
    derived = read_json(run_folder.stage("derive") / "arch.json")
    network = space.build(Task(**derived["task"]), Arch(derived["architecture"]))
    tensors, _ = checkpoint.load_weights(weights)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{weights}: does not fit the architecture: {error}") from None
    network.eval()
    return network


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
