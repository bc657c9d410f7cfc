"""The common base of the parts of a run: options, one set-up, and a state that can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from nasforge.config import EvaluatorConfig, PluginConfig
from nasforge.constraints import Constraints
from nasforge.errors import RunError
from nasforge.seeding import derive_seed

if TYPE_CHECKING:
    from nasforge.data import DataModule, Split
    from nasforge.distiller import Distiller
    from nasforge.evaluator import Evaluator
    from nasforge.nn.output import Network
    from nasforge.runtime import Runtime
    from nasforge.space import SearchSpace

__all__ = ["Component", "Context", "Slot", "Stage", "Work", "forecast_costs"]

C = TypeVar("C", bound=PluginConfig)

Stage = str
"""Name of a stage of a run; `nasforge.stages` lists the stages."""


@dataclass(frozen=True)
class Work:
    """Equal units of work ahead of a component. A run is forecast by timing a few of them.

    Attributes:
        name: Plural noun for the units, such as ``"training batches"``.
        units: Number of units that are left; a mean need not be whole.
        run: Does one unit. It is called on a copy of the component that is thrown away afterwards, so it may
            change weights and draw numbers. Build what it needs in its first call, which is not timed.
        shared: Whether the workers of a run share the units.
        writes: Whether a unit only writes a checkpoint, which takes no memory of an accelerator.
    """

    name: str
    units: float
    run: Callable[[], object]
    shared: bool = False
    writes: bool = False

    def times(self, count: float) -> Work:
        """Return the same work, ``count`` times over."""
        return replace(self, units=self.units * count)


class Slot(Protocol):
    """A named place for a partial checkpoint, so that work inside one step survives a kill."""

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state`` atomically; the one before it is kept as a fall-back."""

    def load(self) -> dict[str, Any] | None:
        """Return the last state that can be read, or None if there is none."""

    def delete(self) -> None:
        """Remove what was saved."""


def _no_networks(folder: str) -> Network:
    raise RunError(f"{folder}: networks of finished runs can be loaded inside a run only.")


@dataclass(frozen=True)
class Context:
    """The surroundings of a component during one stage of a run.

    Attributes:
        space: The search space.
        data: A guarded view of the images: it gives only the splits this stage may read.
        evaluator: Scores architectures, if the recipe has an ``[evaluator]`` table. An evaluator finds its
            ``[evaluator.base]`` here.
        distiller: Compares two networks, if the recipe has the matching distiller table.
        runtime: Device, precision and memory layout.
        seed: The run's seed; derive others with `nasforge.seeding.derive_seed`.
        stage: Which stage of the run this is.
        slot: Opens a named partial checkpoint.
        report: Tells the observers about progress inside a step; ``"done"`` is the share of it from 0 to 1.
            ``"prepared"`` is that of what all steps need and comes once, before the first; end it with 1.
        record: Stores the metrics of a finished epoch inside a long step, numbered from 1. An epoch that is
            repeated after a restart replaces its record.
        constraints: Limits on the cost of an architecture; ask/tell searchers keep them without extra code.
        load_network: Loads the trained network of a finished run from its folder, for instance a teacher.
        splits: Splits of the images that may be read in this stage, also by a data module that a component
            makes itself; None for all.
    """

    space: SearchSpace[Any]
    runtime: Runtime
    seed: int
    stage: Stage
    slot: Callable[[str], Slot]
    report: Callable[[Mapping[str, float]], None]
    data: DataModule[Any] | None = None
    evaluator: Evaluator[Any] | None = None
    distiller: Distiller[Any] | None = None
    record: Callable[[int, Mapping[str, float]], None] = lambda epoch, metrics: None
    constraints: Constraints = field(default_factory=Constraints)
    load_network: Callable[[str], Network] = _no_networks
    splits: frozenset[Split] | None = None


class Component(Generic[C]):
    """A part of a run, made from its options.

    Life cycle: ``__init__`` stores the options and does nothing else; `setup` is called once per run, when
    every other part exists; after that the component works; `state_dict` may be called between steps, and
    `load_state_dict` right after `setup` of a later process.

    Args:
        config: The options, already validated.
    """

    ctx: Context

    def __init__(self, config: C) -> None:
        self.config = config

    def with_options(self, **options: Any) -> Self:
        """Return a component of the same class with other options; its `setup` has not been called.

        Args:
            **options: The options that differ, by name.

        Raises:
            pydantic.ValidationError: An option is wrong.
        """
        return type(self)(type(self.config)(**{**self.config.model_dump(), **options}))

    def setup(self, ctx: Context) -> None:
        """Build everything. Randomness comes from ``ctx.seed`` or the seeded global torch generator.

        Args:
            ctx: The parts of the run and where it happens.
        """
        self.ctx = ctx

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a restart: tensors, numbers, text, lists and dicts of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`.

        Args:
            state: The result of `state_dict` in an earlier process.
        """


def forecast_costs(ctx: Context, costs: Iterable[str], planned: Mapping[Any, float]) -> list[Work]:
    """Return the work of counting or timing what candidates cost.

    Args:
        ctx: Has the space and the limits.
        costs: Costs that are wanted besides those that the recipe speaks of.
        planned: Number of candidates, by anything.
    """
    options = None if ctx.evaluator is None else ctx.evaluator.config
    reported = options.reports() if isinstance(options, EvaluatorConfig) else None
    wanted = sorted({*costs} - (reported or frozenset()) | ctx.constraints.asked)
    rng = Random(derive_seed(ctx.seed, "forecast", "costs"))

    def run() -> None:
        with suppress(RunError):  # an evaluator that does not say what it reports may report this cost
            ctx.constraints.add_costs(ctx.space.canonical(ctx.space.sample(rng)), {}, wanted)

    return [Work("costs of candidates", sum(planned.values()), run)] if wanted else []
