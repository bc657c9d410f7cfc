"""The ``[bench]`` table of a recipe: which searchers are compared, how often, and what each may spend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, PositiveInt, field_validator

from nasforge.config import BudgetedConfig, Objective, ObjectivesConfig, PluginConfig, merge_options
from nasforge.constraints import ConstraintsConfig
from nasforge.errors import PluginError, suggest
from nasforge.plugins import Plugin, Registry
from nasforge.plugins.capabilities import describe_need, kind_of
from nasforge.recipe.budget import Budget
from nasforge.recipe.confirm import check_confirm
from nasforge.recipe.draft import Draft
from nasforge.recipe.options import check_options
from nasforge.searcher import BaselineSearcher

__all__ = [
    "CEILING",
    "HYPERVOLUME",
    "Bench",
    "BenchConfig",
    "Entrant",
    "HypervolumeConfig",
    "installed_baselines",
    "read_bench",
]

CEILING = 1_000_000
"""The option ``evaluations`` of a searcher in a bench: so many that the budget ends the search."""

HYPERVOLUME = "hypervolume"
"""The metric that compares everything a search has evaluated."""


class HypervolumeConfig(ObjectivesConfig):
    """Options of ``[bench.hypervolume]``: the plane in which ``metric = "hypervolume"`` measures a search."""

    objectives: tuple[Objective, ...] = ("score", "-latency_ms")
    """Two objectives: "score" or a metric of the evaluator; with "-" before it, what to make small."""

    reference: tuple[float, ...] = (0.0, 0.0)
    """The worst values that count, one per objective and without signs, such as [80.0, 12.0] for accuracy and
    milliseconds. Architectures that are worse in one of them add nothing."""

    @field_validator("objectives", "reference")
    @classmethod
    def _two(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(values) != 2:
            raise ValueError("must have two entries")
        return values


class BenchConfig(PluginConfig):
    """Options of the ``[bench]`` table: what ``nasforge bench`` compares. ``nasforge run`` ignores it."""

    searchers: tuple[str, ...] = ()
    """Names of searchers. "LABEL = NAME" lists a searcher under another name, so that it may have other
    options. Empty: the searcher of the recipe."""

    baseline: str | None = None
    """The searcher that all others are compared with. It takes part whether it is listed or not. None: the
    installed searcher that provides `BaselineSearcher`."""

    seeds: PositiveInt = 20
    """How many times each searcher runs; the seeds count upwards from `run.seed`."""

    budget: int | str | None = None
    """Budget of each run: a number of evaluations; the seconds that they cost, such as "20000 s" or
    "5.5 h" (s, min, h, d); or the CPU time of the whole search, such as "30 cpu min", for searchers
    with and without gradients. None: as many evaluations as `searcher.evaluations`."""

    metric: str = Field("score", min_length=1)
    """Number that results are compared by: "score" of the evaluator; a number that a table of the space knows
    about an architecture, such as "cifar10_valid_accuracy"; or "hypervolume" of everything that a search has
    evaluated, which [bench.hypervolume] describes."""

    hypervolume: HypervolumeConfig = Field(default_factory=HypervolumeConfig)
    """Objectives and reference point of the metric "hypervolume"."""

    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Options by searcher, as in [bench.options.NAME]. The searcher of the recipe also has those of
    [searcher]."""

    limits: dict[str, ConstraintsConfig] = Field(default_factory=dict)
    """Limits of single searchers, as in [bench.limits.NAME]; they go over those of [constraints]."""

    @field_validator("budget")
    @classmethod
    def _budget_can_be_read(cls, budget: int | str | None) -> int | str | None:
        if budget is not None:
            Budget.parse(budget)
        return budget


@dataclass(frozen=True)
class Entrant:
    """One searcher that is compared.

    Attributes:
        label: Its name in the results.
        plugin: The searcher.
        config: Its options; where the budget ends the search, ``evaluations`` is `CEILING`.
        limits: Options of ``[constraints]`` for this searcher alone.
    """

    label: str
    plugin: Plugin
    config: PluginConfig
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """A ``[bench]`` table, checked.

    Attributes:
        entrants: The baseline, then the others in the order of the recipe.
        seeds: The seeds that each runs with.
        budget: Budget of each run.
        metric: The number that results are compared by.
        space: Options of the space as the recipe has them; those left out follow each searcher.
        hypervolume: Objectives of the metric "hypervolume"; None for another metric.
    """

    entrants: tuple[Entrant, ...]
    seeds: tuple[int, ...]
    budget: Budget
    metric: str
    space: Mapping[str, Any]
    hypervolume: HypervolumeConfig | None = None

    @property
    def baseline(self) -> Entrant:
        """The searcher that the others are compared with."""
        return self.entrants[0]


def installed_baselines(registry: Registry) -> list[str]:
    """Return the names of the searchers that provide `BaselineSearcher`, sorted."""
    return registry.capable("searcher", BaselineSearcher)


def read_bench(
    draft: Draft,
    registry: Registry,
    plugins: Mapping[str, Plugin],
    searcher: Mapping[str, Any],
    seed: int,
) -> Bench | None:
    """Check the ``[bench]`` table of a recipe whose other tables are checked.

    Args:
        draft: Where problems are noted.
        registry: The plugins there are.
        plugins: The plugins that the other tables use, by table.
        searcher: The options in ``[searcher]``; none if something is wrong with them.
        seed: The first seed.

    Returns:
        None if there is no such table, or something is wrong with it.
    """
    body = draft.table("bench")
    if body is None:
        return None
    if not isinstance(body, Mapping):
        draft.add_error(("bench",), 'must be a table: write [bench] and searchers = ["…"] below.')
        return None
    config = check_options(draft, "bench", BenchConfig, None, body)
    if not isinstance(config, BenchConfig):
        return None
    written = searcher.get("evaluations") if config.budget is None else config.budget
    if written is None:
        draft.add_error(("bench",), 'has no budget. Write budget = 150 (evaluations) or budget = "20000 s".')
        return None
    budget = Budget.parse(written)
    entrants = _EntrantReader(draft, registry, plugins, searcher, config, budget).entrants()
    space = draft.table("space") if isinstance(draft.table("space"), Mapping) else {}
    seeds = tuple(range(seed, seed + config.seeds))
    volume = config.hypervolume if config.metric == HYPERVOLUME else None
    if volume is not None and body.get("hypervolume") is None:
        draft.add_error(
            ("bench", "metric"),
            'needs [bench.hypervolume] with objectives = ["score", "-…"] and reference = [worst, worst].',
        )
    return Bench(entrants, seeds, budget, config.metric, space, volume)


class _EntrantReader:
    """Turns names and options into entrants, and notes what is wrong with any of them."""

    def __init__(
        self,
        draft: Draft,
        registry: Registry,
        plugins: Mapping[str, Plugin],
        searcher: Mapping[str, Any],
        config: BenchConfig,
        budget: Budget,
    ) -> None:
        self.draft, self.registry, self.plugins = draft, registry, plugins
        self.searcher, self.config, self.budget = searcher, config, budget
        self.baseline = self._installed_baseline() if config.baseline is None else config.baseline

    def entrants(self) -> tuple[Entrant, ...]:
        names = self._names()
        for label in self.config.options:
            where = ("bench", "options", label)
            # Who picks some searchers of a recipe on the command line need not take its options away.
            if label not in names and not self.draft.is_over(("bench", "searchers"), where):
                self.draft.add_error(
                    where, f"no searcher of this bench has that name.{suggest(label, names)}"
                )
        for label in self.config.limits:
            where = ("bench", "limits", label)
            if label not in names and not self.draft.is_over(("bench", "searchers"), where):
                self.draft.add_error(
                    where, f"no searcher of this bench has that name.{suggest(label, names)}"
                )
        if not self.counts_all and self.draft.table("evaluator") is None:
            able = suggest("", self.registry.names("evaluator"))
            self.draft.add_error(("bench",), f"needs an [evaluator] table.{able}")
        found = [self._entrant(label, name) for label, name in names.items()]
        return tuple(entrant for entrant in found if entrant is not None)

    def _names(self) -> dict[str, str]:
        """Return the name of the plugin by label, the baseline first."""
        named: dict[str, str] = {}
        own = self.plugins.get("searcher")
        for text in self.config.searchers or ([own.name] if own else []):
            label, _, name = (part.strip() for part in text.partition("="))
            if not re.fullmatch(r"[\w-]+", label) or ("=" in text and not name):
                self.draft.add_error(
                    ("bench", "searchers"), f'{text!r}: write a searcher\'s name, or "label = name".'
                )
            elif label in named:
                self.draft.add_error(
                    ("bench", "searchers"),
                    f'{label!r} is there twice. Give one another name: "{label}-2 = {name or label}".',
                )
            else:
                named[label] = name or label
        first = self.baseline
        return named if first is None else {first: named.pop(first, first), **named}

    def _installed_baseline(self) -> str | None:
        found = installed_baselines(self.registry)
        if len(found) == 1:
            return found[0]
        several = f"{' and '.join(map(repr, found))} are baselines"
        able = found or [p.name for p in self.registry.of("searcher") if self._fits(p)]
        self.draft.add_error(
            ("bench", "baseline"),
            f"{several if found else 'no installed searcher is a baseline'}. "
            f'Write baseline = "NAME" in [bench].{suggest("", able)}',
        )
        return None

    def _entrant(self, label: str, name: str) -> Entrant | None:
        listed = label in self.config.searchers or label != self.baseline
        where = ("bench", "searchers" if listed else "baseline")
        try:
            plugin = self.registry.get("searcher", name)
        except PluginError as error:
            self.draft.add_error(where, str(error))
            return None
        if self.counts_all:
            self._check_needs(where, plugin)
        elif "evaluator" not in plugin.needs:
            needs = " and ".join(sorted(map(describe_need, plugin.needs - {"space"}))) or "no evaluator"
            able = [p.name for p in self.registry.of("searcher") if self._fits(p)]
            self.draft.add_error(
                where,
                f"{name!r} proposes no architectures to an evaluator (it needs {needs}), so it cannot have "
                f'an equal budget in {self.budget.unit}. Write a budget such as "30 cpu min". Without that, '
                f"these can: {', '.join(able) or 'none'}.",
            )
            return None
        body = self._options(label, plugin)
        budgeted = issubclass(plugin.config, BudgetedConfig)
        if budgeted and self.budget.unit == "evaluations":
            # Checked as what the search really makes, so that a population above it is noticed.
            body = {"evaluations": int(self.budget.amount), **body}
        config = check_options(self.draft, f"bench.options.{label}", plugin.config, plugin, body)
        if config is None:
            return None
        check_confirm(self.draft, f"bench.options.{label}", config, self.plugins, self.registry)
        given = self.config.options.get(label, {}).get("evaluations")
        if given is None and budgeted:
            config = config.model_copy(update={"evaluations": CEILING})
        limits = self.config.limits.get(label)
        return Entrant(label, plugin, config, {} if limits is None else limits.to_json())

    @property
    def counts_all(self) -> bool:
        """Whether all that a search does counts, so that searchers without an evaluator can take part."""
        return self.budget.unit == "cpu seconds"

    def _check_needs(self, where: tuple[str, ...], plugin: Plugin) -> None:
        """Note which tables a searcher lacks."""
        for kind in sorted({kind_of(need) for need in plugin.needs}):
            if self.draft.table(kind) is None:
                able = suggest("", self.registry.names(kind))
                self.draft.add_error(where, f"{plugin.name!r} needs a [{kind}] table.{able}")

    def _options(self, label: str, plugin: Plugin) -> dict[str, Any]:
        own = self.searcher if plugin == self.plugins.get("searcher") else {}
        shared = {key: value for key, value in own.items() if key not in ("use", "evaluations")}
        return merge_options(shared, self.config.options.get(label, {}))

    def _fits(self, plugin: Plugin) -> bool:
        """Whether a searcher could take part with the tables of this recipe."""
        if "evaluator" not in plugin.needs:
            return False
        for need in plugin.needs:
            kind = kind_of(need)
            if kind != "evaluator" and kind not in self.plugins:
                return False
            if not isinstance(need, str) and need not in self.plugins[kind].provides:
                return False
        return True
