"""Run a recipe in this process, or in one of several that share its shards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

import nasforge
from nasforge.errors import NasforgeError, RunError
from nasforge.observer import Observer, Observers
from nasforge.parallel.start import check_processes, describe_workers
from nasforge.plugins import Registry
from nasforge.recipe import Recipe
from nasforge.runs.environment import note_environment, note_graphs
from nasforge.runs.folder import RunFolder, differences
from nasforge.runs.observers import observing
from nasforge.runtime import Runtime
from nasforge.runtime.environment import describe_environment
from nasforge.stages import STAGES
from nasforge.stages.forecast import Forecaster
from nasforge.stages.runner import Run, run_stages
from nasforge.training.stopping import Stopped, stopping_together

__all__ = ["run_recipe"]


def run_recipe(
    recipe: Recipe,
    folder: RunFolder,
    registry: Registry,
    *,
    update: bool = False,
    observers: Sequence[Observer[Any]] = (),
    default_observers: Sequence[str] = (),
    write_report: Callable[[Path], None],
    reread: Callable[[str], Recipe],
) -> Run:
    """Run all stages of a recipe, or those that remain; see `nasforge.run` for most arguments and errors.

    Args:
        recipe: The recipe.
        folder: The run folder.
        registry: The plugins there are.
        update: See there.
        observers: See there.
        default_observers: See there.
        write_report: Given the folder at the end, if the recipe wants a report.
        reread: Returns the recipe with another profile, for forecasts.
    """
    for part in recipe.parts.values():
        part.plugin.load()  # what cannot be imported is better known before the search than after it
    options = recipe.run
    if options.threads:
        torch.set_num_threads(options.threads)
    with _joined(recipe) as runtime, ExitStack() as stack:
        shards = runtime.shards
        folder = RunFolder(folder.path, shards)
        watched = Observers(())

        def open_folder() -> None:
            nonlocal watched
            stack.enter_context(folder.locked())
            watched = stack.enter_context(observing(recipe, registry, observers, default_observers))
            modules = {module.path: module.content for module in recipe.modules if module.path}
            folder.claim(recipe.resolved(), recipe.text, update=update, modules=modules)

        shards.from_main(open_folder)
        shards.run_everywhere(lambda: _check_folder(folder))
        origins = [part.plugin.origin for part in recipe.parts.values()]
        environment = {**describe_environment(runtime, origins, options.seed), **describe_workers(options)}
        if shards.world > 1:
            environment["ranks"] = shards.world
        watched.setup(folder.path)
        if shards.is_main:
            note_environment(folder, environment)
            if runtime.graphs.active:  # which steps are captured is known at the end
                stack.callback(lambda: note_graphs(folder, runtime.graphs.describe()))
            elif options.graphs is True:
                warnings.warn(
                    f"run.graphs: true changes nothing on {runtime.device.type!r}: CUDA graphs need an "
                    "NVIDIA GPU. Steps run as they are.",
                    stacklevel=2,
                )
        watched.run_start(folder.path.name, recipe.resolved())
        run = Run(recipe, folder, runtime, watched)
        if shards.world > 1 and "data" in recipe.parts:
            _ = run.data  # missing images are better known in all processes at once
        # Several processes would have to rehearse together, each with a copy of the run.
        forecaster = Forecaster(watched, reread) if shards.world == 1 else None
        results = run_stages(run, announce=forecaster.announce) if forecaster else run_stages(run)
        watched.run_end(list(results.values())[-1])
        if options.report and folder.writes:
            write_report(folder.path)
        for stage in STAGES:
            if stage.name in results:
                stage.verify(results[stage.name])
    return run


@contextmanager
def _joined(recipe: Recipe) -> Iterator[Runtime]:
    """Provide the runtime of a process, which belongs to a group if it was started as one of several.

    Raises:
        RunError: The processes cannot share the run.
    """
    from nasforge.runtime.distributed import LostProcessError, ProcessGroup, find_world, place_device

    options = recipe.run
    world = find_world()
    if world is None:
        yield Runtime.of(options)
        return
    rank, size = world
    device: str | None = None
    problem: NasforgeError | None = None
    try:
        check_processes(options, size)
        device = place_device(options.device, size)
        runtime = Runtime.of(options, device)
    except NasforgeError as error:  # told once all processes have met
        runtime, problem = Runtime.create("cpu"), error
    group = ProcessGroup(rank, size, runtime.device)
    gently = False
    if rank:
        warnings.simplefilter("ignore")  # rank 0 gives them
    try:
        runtime = Runtime.of(options, str(runtime.device), group)

        def check() -> None:
            if problem is not None:
                raise problem

        runtime.shards.run_everywhere(check)
        _check_alike(recipe, runtime)
        shards = runtime.shards
        # What one process does alone is finished first.
        with stopping_together(lambda asked: shards.group is not None and shards.union([asked])[0]):
            yield runtime
        gently = True
    except Stopped:
        gently = True
        raise
    except NasforgeError as error:
        lost = isinstance(error, LostProcessError)
        if lost and (reason := group.lost()):
            error.args = (f"run: another process of this run has ended: {reason}",)
        error.is_reported_elsewhere = not group.fail(str(error), lost=lost)
        raise
    except Exception as error:
        group.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        group.close(gently=gently)


def _check_alike(recipe: Recipe, runtime: Runtime) -> None:
    """Check that all processes have the same recipe and software.

    Raises:
        RunError: They do not; says how the first other one differs.
    """
    group = runtime.shards.group
    assert group is not None, "there are several processes"
    origins = sorted({part.plugin.origin for part in recipe.parts.values()})
    mine = {
        "recipe": recipe.resolved(),
        "nasforge": nasforge.__version__,
        "torch": torch.__version__,
        "plugins": origins,
        "device": runtime.device.type,
        "threads": torch.get_num_threads(),
    }
    first, *others = group.exchange(mine)
    for rank, other in enumerate(others, 1):
        here = f"in process {rank}"
        lines = [*differences(first["recipe"], other["recipe"], there="in process 0", here=here)]
        if lines:
            listed = "\n".join(f"  - {line}" for line in lines)
            raise RunError(f"run: the processes have different recipes. These options differ:\n{listed}")
        for name in first.keys() - {"recipe"}:
            if first[name] != other[name]:
                raise RunError(
                    f"run: {name} is {first[name]} in process 0 and {other[name]} {here}. Give all processes "
                    "of a run the same."
                )


def _check_folder(folder: RunFolder) -> None:
    if folder.resolved is None:
        raise RunError(
            f"{folder.path}: this process does not see the run folder of process 0. Give all of them the "
            "same folder with --out, on a file system that they share."
        )
