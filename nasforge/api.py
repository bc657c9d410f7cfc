"""nasforge from Python: make a network, load a found one, run a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.component import Stage
from nasforge.observer import Observer
from nasforge.plugins import Registry
from nasforge.recipe import Part, check, load, parse_options
from nasforge.recipe.toml_text import to_toml
from nasforge.runs.build import build
from nasforge.runs.network import load_network as load_trained
from nasforge.runs.network import network_space
from nasforge.runs.observers import observing
from nasforge.runs.opening import open_run, override_texts
from nasforge.space import Scale, Task

if TYPE_CHECKING:
    from torch import nn

    from nasforge.benches.compare import Comparison
    from nasforge.benches.run import BenchResult
    from nasforge.nn.output import Network, Output
    from nasforge.runs.predictor import ImagePredictor

__all__ = [
    "RunResult",
    "bench",
    "compare",
    "create_network",
    "load_network",
    "load_predictor",
    "run",
    "write_report",
]


@dataclass(frozen=True)
class RunResult:
    """Where a run is and what its stages found.

    Attributes:
        folder: The run folder.
        results: Each stage's result, as its ``result.json`` holds it.
        skipped: The stages that an earlier process had done; all of them in a run that was finished.
    """

    folder: Path
    results: Mapping[Stage, Mapping[str, Any]]
    skipped: frozenset[Stage] = frozenset()

    @property
    def was_finished(self) -> bool:
        """Whether there was nothing left to do."""
        return bool(self.results) and self.skipped == set(self.results)


def create_network(
    space: str,
    arch: Arch | Mapping[str, Any] | str | None = None,
    *,
    num_classes: int = 10,
    image_size: int = 32,
    in_channels: int = 3,
    scale: Scale = "final",
    features: bool = False,
    **options: Any,
) -> nn.Module:
    """Build a network of a search space, with fresh weights.

    Examples:
        >>> network = create_network("darts", arch="DARTS_V2", num_classes=100)

    Args:
        space: Name of a space plugin.
        arch: A published name, a notation, an `Arch`; None builds the supernet.
        num_classes: Width of the logits.
        image_size: Side of the square input images, in pixels.
        in_channels: Channels of the input images.
        scale: See `NetworkSpace.build`.
        features: Return an `Output` with logits and stage features instead of the logits alone.
        **options: Options of the space, as in a recipe's ``[space]`` table.

    Returns:
        A module that maps images ``(B, in_channels, S, S)`` to logits ``(B, num_classes)``.

    Raises:
        PluginError: There is no such space, or it has no networks.
        RecipeError: An option is wrong.
        ArchError: The architecture cannot be read or does not fit.
    """
    plugin = Registry.discover().get("space", space)
    config = parse_options(plugin, options)
    built = network_space(build(Part("space", plugin, config)), space)
    if isinstance(arch, str):
        arch = built.parse(arch)
    elif arch is not None:
        arch = arch if isinstance(arch, Arch) else Arch(arch)
        built.validate(arch)
    network = built.build(Task(in_channels, image_size, num_classes), arch, scale)
    return network if features else _logits_only(network)


def load_network(folder: str | Path, *, features: bool = False) -> nn.Module:
    """Load the trained network of a finished run, in `eval` mode, on the CPU.

    The local modules of its recipe are executed: load only folders from people whose programs you would run.

    Args:
        folder: The run folder.
        features: Return an `Output` with logits and stage features instead of the logits alone.

    Raises:
        RunError: The folder is not a run, or its network has not been trained.
        CheckpointError: The weights cannot be read or do not fit.
    """
    network = load_trained(folder)
    return network if features else _logits_only(network)


def load_predictor(folder: str | Path, *, device: str | None = None) -> ImagePredictor:
    """Load the trained network of a finished run with the preprocessing and class names of its images.

    The local modules of its recipe are executed: load only folders from people whose programs you would run.

    Examples:
        >>> predictor = nasforge.load_predictor("runs/photos")
        >>> for found in predictor(["cat.jpg", "dog.png"]):
        ...     print(found.class_name, found.probability)

    Args:
        folder: The run folder.
        device: Device to compute on; None takes that of the recipe.

    Returns:
        A function from files, Pillow images or uint8 tensors ``(C, H, W)`` to a list of predictions.

    Raises:
        RunError: The folder is not a run, its network has not been trained, or it lacks the description of
            its images.
        CheckpointError: The weights cannot be read or do not fit.
    """
    from nasforge.runs.predictor import load_predictor as load

    return load(folder, device)


def run(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    profile: str | None = None,
    out: str | Path = "runs",
    device: str | None = None,
    seed: int | None = None,
    update: bool = False,
    observers: Sequence[Observer[Any]] = (),
    default_observers: Sequence[str] = (),
    registry: Registry | None = None,
) -> RunResult:
    """Do everything a recipe says, or resume where an earlier process stopped.

    Args:
        recipe: A TOML file, the name of a shipped recipe, a run folder to resume, or the tables.
        overrides: ``"table.key=value"`` strings, or values by dotted key.
        profile: Which ``[profiles.*]`` of the recipe to use.
        out: Folder that holds the run folder.
        device: Overrides ``run.device``.
        seed: Overrides ``run.seed``.
        update: Resume although the recipe has changed, and repeat the stages whose inputs differ.
        observers: Observers of this run, besides those of the recipe.
        default_observers: Names of observers, if the recipe has no ``run.observers``: ``["progress"]``.
        registry: The plugins there are; None: those that are installed.

    Raises:
        RecipeError: The recipe is wrong; nothing has been written.
        PluginError: A plugin cannot be imported; nothing has been written.
        RunError: The run failed; what was finished is kept.
    """
    registry = registry or Registry.discover()
    texts = override_texts(overrides, device, seed)
    loaded, folder = open_run(recipe, texts, profile, Path(out), registry)

    from nasforge.report.write import write_after
    from nasforge.stages.recipe_run import run_recipe

    done = run_recipe(
        loaded,
        folder,
        registry,
        update=update,
        observers=observers,
        default_observers=default_observers,
        write_report=write_after,
        reread=lambda name: open_run(recipe, texts, name, Path(out), registry)[0],
    )
    return RunResult(folder.path, done.results, frozenset(done.skipped))


def bench(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    searchers: Sequence[str] | None = None,
    seeds: int | None = None,
    budget: int | str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    profile: str | None = None,
    out: str | Path = "benches",
    workers: int = 1,
    observers: Sequence[Observer[Any]] = (),
    default_observers: Sequence[str] = (),
    registry: Registry | None = None,
) -> BenchResult:
    """Run searchers with many seeds and an equal budget, or resume where an earlier process stopped.

    Examples:
        >>> found = bench("recipe.toml", searchers=["random", "evolution"], seeds=2, budget=30)
        >>> best = max(found.standings, key=lambda line: line.mean)

    Args:
        recipe: A TOML file, the name of a shipped recipe, or the tables; ``[bench]`` may be left out.
        overrides: As for `run`.
        searchers: Over ``bench.searchers``.
        seeds: Over ``bench.seeds``.
        budget: Over ``bench.budget``.
        options: Options by searcher, over those in ``bench.options``.
        profile: As for `run`.
        out: Folder that holds the folder of the bench.
        workers: How many processes make runs; the results are the same.
        observers: As for `run`.
        default_observers: As for `run`.
        registry: As for `run`.

    Raises:
        RecipeError: The recipe is wrong; nothing has been written.
        RunError: A run failed; what was finished is kept.
    """
    asked = {"searchers": searchers, "seeds": seeds, "budget": budget}
    texts = ["bench={}", *override_texts(overrides)]
    texts += [f"bench.{key}={to_toml(value)}" for key, value in asked.items() if value is not None]
    for label, values in (options or {}).items():
        texts += [f"bench.options.{label}.{key}={to_toml(value)}" for key, value in values.items()]
    registry = registry or Registry.discover()
    if isinstance(recipe, Mapping):
        loaded = check(recipe, registry, overrides=texts, profile=profile)
    else:
        loaded = load(recipe, registry, overrides=texts, profile=profile)

    from nasforge.benches.run import run_bench
    from nasforge.report.write import write_after

    with observing(loaded, registry, observers, default_observers) as watched:
        found = run_bench(loaded, Path(out) / (loaded.run.name or "bench"), workers, watched)
    if loaded.run.report:
        write_after(found.folder)
    return found


def write_report(folders: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write a report on runs and benches: one HTML file that loads nothing.

    Examples:
        >>> path = write_report(["runs/a", "runs/b"], "a-and-b.html")  # doctest: +SKIP

    Args:
        folders: Folders of runs and benches, finished or not; several runs are shown side by side.
        out: The file; None: ``report.html`` in the folder of a single run or bench, else here.

    Returns:
        The file.

    Raises:
        RunError: A folder is neither a run nor a bench, or the file cannot be written.
    """
    from nasforge.report.write import write

    paths = [folders] if isinstance(folders, str | Path) else folders
    return write([Path(path) for path in paths], None if out is None else Path(out))


def compare(
    folders: Sequence[str | Path],
    *,
    metric: str | None = None,
    baseline: str | None = None,
    allow: Sequence[str] = (),
) -> Comparison:
    """Compare the searchers of finished runs and benches, paired by seed.

    Args:
        folders: Run folders, or folders of benches.
        metric: The number to compare; None: the first of test accuracy, score and table values that all have.
        baseline: The searcher to compare with; None for that of a bench, an installed searcher that provides
            `nasforge.searcher.BaselineSearcher`, or the first.
        allow: Tables, such as ``"evaluator"``, in which the runs of one line may differ.

    Raises:
        RunError: A folder holds nothing finished or is given twice, or the runs have no number in common.
    """
    from nasforge.benches.compare import compare_folders

    return compare_folders([Path(folder) for folder in folders], metric, baseline, allow)


def _logits_only(network: Network) -> nn.Module:
    network.register_forward_hook(_take_logits)
    return network


def _take_logits(network: nn.Module, inputs: Any, output: Output) -> Any:
    return output.logits
